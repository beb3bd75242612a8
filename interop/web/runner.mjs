// Runs scenarios of the web app in Chromium, one after the other, as the lines of its standard input say:
//
//   {"scenario": "…", "url": "…", "token": "…", "photos": ["…"]}
//
// and prints {"scenario", "passed"} or {"scenario", "failed"} for each. The first line that it prints is {"ai"}, the address
// of an AI service that scenarios tell what to answer. SIGTERM ends it.
//
//   node runner.mjs <path of the browser> <directory for its files>
import { createInterface } from 'node:readline';
import { startAI } from './ai.mjs';
import * as scenarios from './scenarios.mjs';

const [executablePath, directory] = process.argv.slice(2);
process.env.TMPDIR = directory; // they are left behind when the browser is killed
const { chromium } = await import('playwright-core');

const ai = await startAI();
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox'], // which root is not given
  handleSIGTERM: false,
});
process.on('SIGTERM', async () => {
  await browser.close();
  process.exit();
});
console.log(JSON.stringify({ ai: ai.url }));

for await (const line of createInterface({ input: process.stdin })) {
  const { scenario, ...given } = JSON.parse(line);
  const open = [];
  const world = { ...given, browser, ai, onEnd: (end) => open.push(end), say: (text) => console.log(text) };
  let failed;
  try {
    ai.reset();
    await scenarios[scenario](world);
  } catch (error) {
    failed = error.stack;
  }
  for (const end of open.reverse()) {
    try {
      await end();
    } catch (error) {
      failed ??= error.stack;
    }
  }
  console.log(JSON.stringify(failed ? { scenario, failed } : { scenario, passed: true }));
}
