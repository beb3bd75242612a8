// What scenarios do in a page, and what holds of every page whatever they do.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';

/**
 * Opens the app, signed in by the world's token unless options.token is another, at a path. When the scenario ends the page
 * must have run without an error, without breaking its policy, and without a request to anybody but the server, pictures of
 * the AI service excepted. options.faults are patterns of errors on the console that belong to the scenario.
 */
export async function open(world, path = '/', { token = world.token, url = world.url, faults = [], context: options = {} } = {}) {
  const context = await world.browser.newContext({ viewport: { width: 1200, height: 800 }, locale: 'en-GB', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const wrong = [];
  const strangers = [];
  page.on('filechooser', () => {}); // else one that opens before it is waited for is not seen
  page.on('pageerror', (error) => wrong.push(error.stack));
  page.on('console', (message) => {
    if (message.type() === 'error' && !faults.some((fault) => fault.test(message.text()))) wrong.push(message.text());
  });
  page.on('dialog', (dialog) => wrong.push(`a dialog says ${dialog.message()}`));
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    const picture = request.resourceType() === 'image' && origin === world.ai.url;
    if (origin !== url && !picture && !['blob:', 'data:'].includes(protocol)) strangers.push(request.url());
  });
  world.onEnd(async () => {
    await context.close();
    assert.deepEqual(wrong, [], 'errors in the page');
    assert.deepEqual(strangers, [], 'requests to others');
  });
  page.on('requestfailed', (request) => {
    if (request.failure().errorText === 'csp' && strangers.includes(request.url())) strangers.splice(strangers.indexOf(request.url()), 1);
  });
  await page.goto(`${url}${path}${token ? `#token=${token}` : ''}`);
  return page;
}

/** Drops files on the page. */
export async function drop(page, files) {
  const data = await Promise.all(files.map(async (file) => ({ name: basename(file), type: type(file), base64: (await readFile(file)).toString('base64') })));
  await page.evaluate((files) => {
    const transfer = new DataTransfer();
    for (const { name, type, base64 } of files) {
      transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name, { type }));
    }
    for (const kind of ['dragenter', 'dragover', 'drop']) {
      document.querySelector('main').dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }
  }, data);
}

const type = (file) => ({ png: 'image/png', jpg: 'image/jpeg' })[file.split('.').at(-1)] ?? 'text/plain';

/** Picks files by the button. */
export const pick = (page, files) => choose(page, files, () => page.getByRole('button', { name: 'Add photos' }).first().click());

/** Chooses files in the dialog that act opens. A busy browser may drop the dialog; a user would act again. */
export async function choose(page, files, act) {
  for (let left = 3; ; left--) {
    const opened = page.waitForEvent('filechooser', { timeout: 10_000 });
    const [chooser, acted] = await Promise.allSettled([opened, act()]);
    if (chooser.status === 'fulfilled') return chooser.value.setFiles(files);
    if (left === 1) throw acted.reason ?? chooser.reason;
  }
}

/** Waits until something holds, and fails with what it was instead. */
export async function eventually(what, check, within = 30_000) {
  const end = Date.now() + within;
  for (;;) {
    const got = await check();
    if (got === true) return;
    if (Date.now() > end) assert.fail(`${what}: still ${JSON.stringify(got)}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

/** Cards by their state in words. */
export const cards = (page, state) => page.locator('.card').filter({ has: page.locator('.status', { hasText: state }) });

/** Calls the API as the world's user. */
export async function api(world, method, path, body) {
  const answer = await fetch(world.url + path, {
    method, body: body === undefined ? undefined : JSON.stringify(body),
    headers: { authorization: `Bearer ${world.token}`, 'content-type': 'application/json' },
  });
  return { status: answer.status, body: answer.status === 204 ? null : await answer.json() };
}

/** Uploads a photo past the page, and returns its asset's id. */
export async function upload(world, file, category) {
  const form = new FormData();
  form.append('category', category);
  form.append('image', new Blob([await readFile(file)]), basename(file));
  const answer = await fetch(`${world.url}/api/assets/analyze-queue`, { method: 'POST', body: form, headers: { authorization: `Bearer ${world.token}` } });
  assert.equal(answer.status, 202);
  return (await answer.json()).data.assetId;
}

/** Uploads a photo and waits until it stands there. */
export async function settled(world, file, category, status = 'active') {
  const id = await upload(world, file, category);
  await eventually(`${id} ${status}`, async () => {
    const { body } = await api(world, 'GET', `/api/assets/${id}`);
    return body.status === status || body.status;
  });
  return id;
}
