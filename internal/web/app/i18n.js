// Texts in the user's language. English is in texts.en.js; another language is one more file and one more line here.
import { choice } from './settings.js';

/** The languages there are, by their own names. */
export const languages = { en: 'English', vi: 'Tiếng Việt' };

const load = { en: () => import('./texts.en.js'), vi: () => import('./texts.vi.js') };

/** The language in use. */
export const language = pick();

function pick() {
  const wanted = [choice('language', ''), ...navigator.languages].map((tag) => tag.slice(0, 2));
  return wanted.find((tag) => tag in languages) ?? 'en';
}

const { texts, sentences } = await load[language]();
const plural = new Intl.PluralRules(language);
document.documentElement.lang = language;

/**
 * A text by its key. {name} stands for the value of that name; a text with plural forms is chosen by the value n.
 * A key without a text comes back as it is.
 */
export function t(key, values = {}) {
  let text = texts[key] ?? key;
  if (typeof text === 'object') text = text[plural.select(values.n)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === 'number' ? number(value) : value;
  });
}

/** Whether there is a text for a key. */
export function has(key) {
  return Object.hasOwn(texts, key);
}

/** A sentence of the server's in the user's language, or as it came. */
export function sentence(text) {
  return sentences[text] ?? text;
}

const formats = new Map();

function format(kind, options) {
  const key = kind.name + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new kind(language, options));
  return formats.get(key);
}

/** A number as it is written. */
export function number(value, options) {
  return format(Intl.NumberFormat, options).format(value);
}

/** A share from 0 to 1 in per cent. */
export function percent(value) {
  return number(value, { style: 'percent', maximumFractionDigits: 0 });
}

/** Bytes in the nearest unit. */
export function bytes(value) {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'];
  let step = 0;
  for (; value >= 1000 && step < units.length - 1; step++) value /= 1000;
  return number(value, { style: 'unit', unit: units[step], unitDisplay: 'short', maximumFractionDigits: value < 10 && step > 1 ? 1 : 0 });
}

/** A duration in milliseconds: "84 ms", "4.2 s", "3 min", "2 h". */
export function duration(ms) {
  const in_ = (value, unit, digits = 0) => number(value, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: digits });
  if (ms < 1000) return in_(Math.round(ms), 'millisecond');
  if (ms < 60_000) return in_(ms / 1000, 'second', ms < 10_000 ? 1 : 0);
  if (ms < 3_600_000) return in_(Math.floor(ms / 60_000), 'minute');
  if (ms < 86_400_000) return in_(Math.floor(ms / 3_600_000), 'hour');
  return in_(Math.floor(ms / 86_400_000), 'day');
}

/** A moment as day and time, exact to the second if asked. */
export function moment(at, exact = false) {
  return format(Intl.DateTimeFormat, { dateStyle: 'medium', timeStyle: exact ? 'medium' : 'short' }).format(new Date(at));
}

/** The time of day. */
export function clock(at, exact = false) {
  return format(Intl.DateTimeFormat, { timeStyle: exact ? 'medium' : 'short' }).format(new Date(at));
}

/** How long ago a moment was, in words. */
export function ago(at, now = Date.now()) {
  const seconds = Math.round((new Date(at) - now) / 1000);
  const steps = [[60, 'second', 1], [3600, 'minute', 60], [86_400, 'hour', 3600], [7 * 86_400, 'day', 86_400]];
  const step = steps.find(([below]) => Math.abs(seconds) < below);
  if (!step) return format(Intl.DateTimeFormat, { dateStyle: 'medium' }).format(new Date(at));
  if (step[1] === 'second') return t('time.now');
  return format(Intl.RelativeTimeFormat, { numeric: 'auto', style: 'short' }).format(Math.round(seconds / step[2]), step[1]);
}
