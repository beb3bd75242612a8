// Clients in Chromium, each in a tab of its own, which opens "page". The lines are those of node.mjs. SIGTERM ends it.
//
//   node chromium.mjs <path of the browser> <directory for its files>
import { createInterface } from "node:readline";

const [executablePath, directory] = process.argv.slice(2);
process.env.TMPDIR = directory; // they are left behind when the browser is killed
const { chromium } = await import("playwright-core");

const context = await chromium.launchPersistentContext(`${directory}/profile`, {
  executablePath,
  args: ["--no-sandbox"], // which root is not given
  handleSIGTERM: false,
});
process.on("SIGTERM", async () => {
  await context.close();
  process.exit();
});

for await (const line of createInterface({ input: process.stdin })) {
  const { name, page: address, ...options } = JSON.parse(line);
  const page = await context.newPage();
  page.on("pageerror", (error) => console.log(error));
  await page.exposeFunction("report", (what) => console.log(JSON.stringify({ name, ...what })));
  await page.goto(address);
  await page.evaluate((options) => window.start(options), options);
}
