// What others have written stays text, whatever it says; and what would run is refused by the policy.
import assert from 'node:assert/strict';
import { mkdir, copyFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { drop, eventually, open } from './page.mjs';

/** The store is full of markup: category, owner's values, the AI's, errors, addresses; and so is a file's name. */
export async function staysText(world) {
  const page = await open(world, '/', { faults: [/Failed to load resource|ERR_|violates the following Content Security Policy directive: "img-src/] });
  await page.locator('.card').nth(1).waitFor();
  const evil = world.evil;
  for (const text of evil.seen) {
    assert.ok(await page.getByText(text).count() > 0, `${text} is not to be seen as text`);
  }
  const files = join(dirname(world.photos[0]), 'names');
  await mkdir(files, { recursive: true });
  const name = '"><img src=x onerror="window.pwned=1">.png';
  await copyFile(world.photos[0], join(files, 'x.png'));
  await page.evaluate(async ({ name }) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(['no photo'], name, { type: 'image/png' }));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }, { name });
  await page.locator('.tray-row').getByText(name).waitFor();

  for (const id of evil.ids) {
    await page.goto(`${world.url}/assets/${id}`);
    await page.locator('.timeline-line').first().waitFor();
    const links = await page.locator('main a[href]').evaluateAll((all) => all.map((a) => a.protocol));
    assert.deepEqual(links.filter((protocol) => !/^https?:$/.test(protocol)), [], 'a link that runs something');
  }
  for (const text of evil.told) {
    assert.ok(await page.getByText(text).count() > 0, `${text} is not to be seen as text`);
  }
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.equal(await page.locator('main script, main iframe, main [onerror]').count(), 0);
}

/** The policy refuses what no module of ours does. */
export async function keepsPolicy(world) {
  const answer = await fetch(`${world.url}/`);
  const policy = answer.headers.get('content-security-policy');
  assert.ok(!/unsafe-|\*(?!\.cloudinary\.com)/.test(policy), policy);
  assert.match(policy, /default-src 'none'/);
  const page = await open(world, '/', { faults: [/violates|Refused|TrustedHTML|blocked/i] });
  await page.locator('.connection[data-state=live]').waitFor();
  const got = await page.evaluate(async () => {
    const tried = {};
    const script = document.createElement('script');
    try {
      script.textContent = 'window.pwned = 1';
      document.body.append(script);
    } catch {
      tried.script = 'refused';
    }
    try {
      document.body.innerHTML = '<b>';
    } catch {
      tried.markup = 'refused';
    }
    await new Promise((resolve) => { // for what runs here directly is the test's, which may do anything
      setTimeout(() => {
        try {
          (0, eval)('window.pwned = 2');
        } catch {
          tried.eval = 'refused';
        }
        resolve();
      });
    });
    const styled = document.createElement('p');
    styled.setAttribute('style', 'color: rgb(1, 2, 3)');
    document.body.append(styled);
    tried.style = getComputedStyle(styled).color === 'rgb(1, 2, 3)' ? 'taken' : 'refused';
    tried.fetch = await fetch('https://example.com/').then(() => 'sent', () => 'refused');
    return { ...tried, ran: window.pwned ?? 'nothing' };
  });
  assert.deepEqual(got, { script: 'refused', markup: 'refused', eval: 'refused', style: 'refused', fetch: 'refused', ran: 'nothing' });
  const framed = (await fetch(`${world.url}/app/main.js`)).headers;
  assert.equal(framed.get('content-type'), 'text/javascript; charset=utf-8');
  assert.equal((await fetch(`${world.url}/app/main.js`, { headers: { 'if-none-match': framed.get('etag') } })).status, 304);
  assert.equal((await fetch(`${world.url}/app/`)).status, 404);
  await eventually('still there', () => page.locator('main').isVisible());
}
