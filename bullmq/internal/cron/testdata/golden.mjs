// Writes golden.json: what both versions of cron-parser that BullMQ uses compute for some hundred patterns. To make it
// anew, after `npm ci` in interop/:
//
//	node bullmq/internal/cron/testdata/golden.mjs
//
// It holds one case a line: [pattern, zone, start, results of version 5, results of version 4 if they are others]. Times
// are seconds: the start since 1970, each result since the one before. What fails ends the results with its error. Each
// result is computed as BullMQ does: by a parser of its own that starts at the run before. The random cases come from a
// fixed seed. Other zones than UTC are followed to the end of 2025 only, so that no law yet to come changes the file.
import {writeFileSync} from 'node:fs'
import {createRequire} from 'node:module'

const interop = new URL('../../../../interop/', import.meta.url)
const five = createRequire(createRequire(interop).resolve('bullmq-6.7'))('cron-parser').CronExpressionParser
const four = createRequire(createRequire(interop).resolve('bullmq-5.81'))('cron-parser')
const versions = [(p, o) => five.parse(p, o), (p, o) => four.parseExpression(p, o)]

const count = 5
const end = Date.UTC(2026)

function results(parse, pattern, tz, start) {
  const out = []
  for (let at = start; out.length < count;) {
    try {
      const next = parse(pattern, {currentDate: new Date(at), tz}).next().getTime()
      if (next > end && tz !== 'UTC') break
      out.push((next - at) / 1000)
      at = next
    } catch (e) {
      out.push(e.message)
      break
    }
  }
  return out
}

const same = (a, b) => a.length === b.length && a.every((n, i) => n === b[i] || typeof n + typeof b[i] === 'stringstring')

const lines = []

function add(pattern, tz, start) {
  const [v5, v4] = versions.map(parse => results(parse, pattern, tz, start))
  lines.push(JSON.stringify([pattern, tz, start / 1000, v5, ...same(v5, v4) ? [] : [v4]]))
}

// What a pattern can be.
const now = Date.UTC(2024, 0, 18, 10, 20, 30)
for (const pattern of [
  // Fields: how many, and the space between them.
  '* * * * * *', '* * * * *', '* * * *', '* * *', '* *', '*', '5', '5 *', '10 * *', '3 10 * *', '* * * * * * *',
  '0 0 0 1 1 * 2027', ' 5 * * * * ', '5\t*\n* *  *', '5\u00a0* *\u3000* *',
  // Values, ranges, steps.
  '15 * * * *', '05 * * * *', '0 9 * * *', '*/15 * * * *', '*/15 * * * * *', '5/15 * * * *', '1-30/7 * * * *',
  '0,30 * * * *', '1-5,7-9,50 * * * *', '*/7,1 * * * *', '*/60 * * * *', '*/99 * * * *', '5/99 * * * *', '5-5 * * * *',
  '5-10/99 * * * *', '0 8-18 * * *', '0 8-18/2 * * *', '0 0 29/1 * *', '0 0 */10 * *', '0 0 1,15 * *',
  '0 0 1-5,20 * *', '30 4 1,15 * 5', '59 59 23 31 12 *', '0 22/1 * * *', '*/99999999999999999999 * * * *',
  '60 * * * *', '60 * * * * *', '* 24 * * *', '* * 0 * *', '* * 32 * *', '* * * 0 *', '* * * 13 *', '* * * * 8',
  '99999999999999999999 * * * *', '-1 * * * *', '+1 * * * *', '1.5 * * * *', '1e1 * * * *', '0x5 * * * *', 'a * * * *',
  '٣ * * * *', '5 * * * ;', '1-60 * * * *', '50-10 * * * *', '* 22-3 * * *', '5- * * * *', '*/0 * * * *',
  '*/-1 * * * *', '*/1.5 * * * *', '*/a * * * *', '*/ * * * *', '/5 * * * *', '*/5/2 * * * *', '5, * * * *',
  ',5 * * * *', '5,,6 * * * *', '** * * * *', '*5 * * * *', '5-* * * * *', '1/L * * * *', 'L * * * *', '* L * * *',
  // Names.
  '0 0 * jan *', '0 0 * JAN,dec mon,Tue', '0 0 * feb-apr *', '0 0 * feb-4 *', '0 0 * jan-dec/3 *', '0 0 * jan/3 *',
  '0 0 * * sun', '0 0 * * sun-sat', '0 0 * * mon-5', '0 0 * * mon-fri/2', '0 0 * january *', '0 0 * * monday',
  '0 0 * * monx', '0 0 jan * *', 'jan * * * *', '0 0 * nov-feb *', '0 0 * * fri-mon',
  // Sunday is 0 and 7.
  '0 0 * * 0', '0 0 * * 7', '0 0 * * 5-7', '0 0 * * 0-7', '0 0 * * 1-7', '0 0 * * 7-7', '0 0 * * 0-7/2', '0 0 * * */2',
  '0 0 * * */7', '0 0 * * 5/2', '0 0 * * 6/1', '0 0 * * 7/2', '0 0 * * 7-2', '0 0 * * 6-0',
  // Either day suffices, and what counts as saying nothing.
  '0 0 13 * 5', '0 0 1 * 1', '0 0 1 * *', '0 0 * * 1', '0 0 ? * 1', '0 0 1 * ?', '0 0 ? * ?', '? ? ? ? ?', '0 ? * * *',
  '0 0 */2 * 1', '0 0 ?/2 * *', '0 0 * * ?/2', '0 0 1 * 0-6', '0 0 1 * 1-7', '0 0 1-31 * 1', '0 0 1 * */1',
  '0 0 */1 * 1', '0 0 *,L * 1', '0 0 1 * *,5L', '0 0 1-7 * 1-5', '0 12 8-14 3,11 0',
  // The last days.
  '0 0 L * *', '0 0 L,15 * *', '0 0 15,L 2 *', '0 0 L 2 *', '0 0 L * 1', '0 0 * * 5L', '0 0 * * friL', '0 0 * * FRIL',
  '0 0 * * 0L', '0 0 * * 7L', '0 0 * * 1,3L', '0 0 * * 1L,3L', '0 0 * * 5,5L', '0 0 * * 5L,1-3', '0 0 * * sunL,satL',
  '0 0 L * 5L', '0 0 1 * 5L', '0 0 L-3 * *', '0 0 1-L * *', '0 0 LW * *', '0 0 15W * *', '0 0 l * *', '0 0 * * 5l',
  '0 0 * * L', '0 0 * * L5', '0 0 */L * *',
  // One of the month's.
  '0 0 * * 1#1', '0 0 * * 1#2', '0 0 * * 1#5', '0 0 * * mon#2', '0 0 * * 0#1', '0 0 * * 7#1', '0 0 * * 5#02',
  '0 0 * * *#2', '0 0 ? * ?#5', '0 0 1 * 1#1', '0 0 20 * 1#2', '0 0 1 * *#2', '0 0 * 2 1#5', '0 0 * * 1#6',
  '0 0 * * 1#0', '0 0 * * 1#', '0 0 * * #2', '0 0 * * 1#L', '0 0 * * 1#2,3', '0 0 * * 1,3#2', '0 0 * * 1-3#2',
  '0 0 * * */2#2', '0 0 * * 5#2#3', '0 0 * * 5#-1', '0 0 * * 5#2x', '0 0 5#2 * *', '0 0 * 5#2 *',
  // Days that are rare, or never.
  '0 0 29 2 *', '0 0 31 * *', '0 0 30 * *', '0 0 31 4,5 *', '0 0 1,30 2 *', '0 0 */30 2 *', '0 0 30 2 1', '0 0 30,L 2 *',
  '0 0 30 2 *', '0 0 30 feb ?', '0 0 30,31 2 *', '0 0 31 4,6 *', '* * 31 2 *',
  // By name.
  '@yearly', '@annually', '@monthly', '@weekly', '@daily', '@hourly', '@minutely', '@secondly', '@weekdays',
  '@weekends', '@midnight', '@reboot', '@Daily', ' @daily', '@daily ', '@daily *', '@every 5m', '@',
  // Values given twice.
  '5,5 * * * *', '0-10,5 * * * *', '*/15,30 * * * *', '0 0 * * 0,7', '0 0 * * 1-5,3', '0 0 L,L * *', '0 0 * * 5L,5L',
]) add(pattern, 'UTC', now)

// Where a search starts.
for (const pattern of ['* * * * * *', '* * * * *', '0 0 * * *', '30 * * * * *', '59 59 23 * * *', '0 0 29 2 *']) {
  for (const start of ['2023-12-31T23:59:59.000Z', '2023-12-31T23:59:59.999Z', '2024-01-01T00:00:00.000Z',
    '2024-01-01T00:00:00.001Z', '2024-02-29T00:00:00.000Z', '2099-12-31T23:59:30.500Z']) {
    add(pattern, 'UTC', Date.parse(start))
  }
}

// When clocks change: the zone, the change, patterns; each starts the day before, shortly before, and behind. Changes
// by half an hour are not here: in those each version loses runs.
const hour = 3600e3
for (const [zone, change, patterns] of [
  ['Europe/Berlin', '2024-03-31T01:00Z', ['30 2 * * *', '0 2 * * *', '0 3 * * *', '30 2,3 * * *', '*/20 * * * *',
    '*/20 2 * * *', '*/20 1-3 * * *', '0 */2 * * *', '*/10 58,59 1,2 * * *', '30 2 31 3 *', '30 2 * * 0', '0 4 * * *']],
  ['Europe/Berlin', '2024-10-27T01:00Z', ['30 2 * * *', '0 2 * * *', '0 3 * * *', '30 2,3 * * *', '*/20 * * * *',
    '*/20 2 * * *', '0 0-22 * * *', '0 */2 * * *', '0,30 0,59 2 * * *', '30 2 27 10 *', '30 2 * * 0', '* * 2 * * *']],
  ['America/New_York', '2024-03-10T07:00Z', ['30 2 * * *', '0 * * * *', '15 1-4 * * *', '0 0 2 * * 0']],
  ['America/New_York', '2024-11-03T06:00Z', ['30 1 * * *', '0 * * * *', '15 0-3 * * *', '0 0 1 * * 0']],
  ['America/Sao_Paulo', '2018-11-04T03:00Z', ['0 0 * * *', '30 0 * * *', '30 23,0 * * *', '0 * * * *', '0 0 4 11 *']],
  ['America/Sao_Paulo', '2018-02-18T02:00Z', ['0 0 * * *', '30 23 * * *', '30 23,0 * * *', '0 * * * *', '0 0 18 2 *']],
  ['Atlantic/Azores', '2024-03-31T01:00Z', ['0 0 * * *', '30 0,1 * * *', '0 * * * *', '0 0 31 3 *']],
  ['Atlantic/Azores', '2024-10-27T01:00Z', ['0 0 * * *', '30 0,1 * * *', '0 * * * *', '0 0 27 10 *']],
  ['America/Nuuk', '2024-03-31T01:00Z', ['30 23 * * *', '30 22,23 * * *', '0 0 * * *', '0 * * * *']],
  ['America/Nuuk', '2024-10-27T01:00Z', ['30 23 * * *', '30 22,23 * * *', '0 0 * * *', '0 * * * *']],
  ['Antarctica/Troll', '2024-03-31T01:00Z', ['30 1 * * *', '30 2 * * *', '30 1,4 * * *', '0 * * * *']],
  ['Antarctica/Troll', '2024-10-27T01:00Z', ['30 1 * * *', '30 1,2 * * *', '0 * * * *']],
  ['America/Havana', '2020-11-01T05:00Z', ['0 0 * * *', '0 0 1 11 *', '0 0 * 11 *', '* * 1 * 0']],
  ['Pacific/Apia', '2011-12-30T10:00Z', ['0 12 * * *', '30 23 * * *', '0 * * * *', '0 12 30 12 *']],
]) {
  for (const pattern of patterns) {
    for (const before of [26.5, 2.7, 0.25, -0.3]) add(pattern, zone, Date.parse(change) - before * hour)
  }
}

for (const start of ['2020-08-31T00:30', '2020-09-30T12:00', '2020-10-01T04:00', '2020-10-01T12:00', '2020-10-15T04:30',
  '2020-10-31T04:30', '2020-10-31T05:30']) {
  for (const pattern of ['0 0 * 11 *', '0 0 1 11 *', '0 0 1 * *']) add(pattern, 'America/Havana', Date.parse(start + 'Z'))
}

// What chance brings.
let seed = 1
const random = n => (seed = (seed * 48271) % 0x7fffffff) % n
const pick = (...of) => of[random(of.length)]
const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']

function item(low, high) {
  const value = () => low + random(high - low + 1)
  const range = () => [value(), value()].sort((a, b) => a - b).join('-')
  return String(pick(value, value, range, () => `*/${1 + random(high)}`, () => `${value()}/${1 + random(9)}`,
    () => `${range()}/${1 + random(5)}`)())
}

const field = (low, high, any) => random(100) < any ? '*'
  : Array.from({length: pick(1, 1, 1, 2)}, () => item(low, high)).join()

for (const before = lines.length; lines.length < before + 120;) {
  const fields = [field(0, 59, 10), field(0, 23, 25), pick(field(1, 31, 70), field(1, 31, 70), 'L'), field(1, 12, 85),
    pick(field(0, 7, 60), field(0, 7, 60), `${random(8)}L`, `${pick(...days)}#${1 + random(5)}`)]
  if (random(4) === 0) fields.unshift(field(0, 59, 20))
  const pattern = fields.join(' ')
  if (typeof results(versions[0], pattern, 'UTC', now)[0] === 'string') continue // most often a value given twice
  add(pattern, pick('UTC', 'Europe/Berlin', 'America/New_York', 'America/Sao_Paulo', 'Asia/Kathmandu'),
    Date.UTC(2016) + random(7 * 365 * 24 * 3600) * 1000)
}

writeFileSync(new URL('golden.json', import.meta.url), `[\n${lines.join(',\n')}\n]\n`)
