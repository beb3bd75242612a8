// What the page does when the connection is bad, or gone, or the page itself is.
import assert from 'node:assert/strict';
import { api, cards, eventually, open, pick, settled, upload } from './page.mjs';
import { lay } from './line.mjs';

const LOST = /WebSocket connection|ERR_CONNECTION|ERR_EMPTY_RESPONSE|net::/;
const isSocket = (request) => request.url.startsWith('/socket.io/');

/** A loss: a quiet banner, polling meanwhile, and nothing twice when it is back. */
export async function losesConnection(world) {
  let away = false;
  const line = await lay(world, (request) => (away && isSocket(request) ? 'refuse' : ''));
  const page = await open(world, '/', { url: line.url, faults: [LOST] });
  await page.clock.install();
  const before = await settled(world, world.photos[0], 'sneaker');
  await page.locator(`[data-id="${before}"]`).waitFor();
  await page.locator('.connection[data-state=live]').waitFor();

  away = true;
  line.cut();
  await page.locator('.connection[data-state=away]').waitFor();
  await page.clock.fastForward(2_000);
  await page.getByText('No live connection.').waitFor();
  const meanwhile = await settled(world, world.photos[1], 'sneaker');
  assert.equal(await page.locator(`[data-id="${meanwhile}"]`).count(), 0);
  await eventually('it comes by polling', async () => {
    await page.clock.fastForward(10_000);
    return await page.locator(`[data-id="${meanwhile}"]`).count() === 1;
  });

  const unseen = await settled(world, world.photos[2], 'sneaker');
  away = false;
  await page.getByRole('button', { name: 'Try now' }).click();
  await page.locator('.connection[data-state=live]').waitFor();
  await page.getByText('No live connection.').waitFor({ state: 'hidden' });
  await eventually('all there', async () => await cards(page, 'Ready').count() === 3 || cards(page, '').allInnerTexts());
  const live = await upload(world, world.photos[0], 'sneaker');
  await page.locator(`[data-id="${live}"]`).waitFor();
  const ids = await page.locator('.grid > li[data-id]').evaluateAll((items) => items.map((item) => item.dataset.id));
  assert.deepEqual(ids, [live, unseen, meanwhile, before]);
}

/** Where WebSocket does not come through, events come by polling. */
export async function connectsByPolling(world) {
  let polls = 0;
  const line = await lay(world, (request) => {
    if (request.url.includes('transport=polling')) polls++;
    return request.headers.upgrade ? 'refuse' : '';
  });
  const page = await open(world, '/', { url: line.url, faults: [LOST] });
  await page.locator('.connection[data-state=live]').waitFor();
  const id = await upload(world, world.photos[0], 'sneaker');
  await page.locator(`[data-id="${id}"]`).waitFor();
  await eventually('it ends', async () => await cards(page, 'Ready').count() === 1);
  assert.ok(polls > 2, `${polls} requests by polling`);
}

/** A reload in mid-upload: what the server has is not there twice, and what it has not comes. */
export async function reloads(world) {
  let fate = 'swallow'; // of uploads: the first arrives, but nobody hears of it
  const keys = [];
  const line = await lay(world, (request) => {
    if (request.method !== 'POST' || !request.url.endsWith('/analyze-queue')) return '';
    keys.push(request.headers['idempotency-key']);
    return fate;
  });
  const page = await open(world, '/', { url: line.url, faults: [LOST] });
  await page.getByText('Add your first photo').waitFor();
  await pick(page, world.photos);
  await eventually('all arrive', async () => (await api(world, 'GET', '/api/assets')).body.items.length === 3);
  await page.locator('.tray-row[data-state=pausing]').first().waitFor();
  assert.equal(await page.locator('.tray-row[data-state=done]').count(), 0);

  fate = '';
  await page.reload();
  await page.getByText('3 photos uploaded').first().waitFor();
  await eventually('3 ready', async () => await cards(page, 'Ready').count() === 3);
  assert.equal((await api(world, 'GET', '/api/assets')).body.items.length, 3, 'a photo is there twice');
  assert.equal(new Set(keys).size, 3, 'a photo went by two keys');
  assert.ok(keys.length >= 6, `${keys.length} uploads`);

  await page.reload();
  await eventually('3 ready', async () => await cards(page, 'Ready').count() === 3);
  assert.equal(await page.locator('.tray-row').count(), 0, 'an upload that has ended is there again');
}

/** An upload that hangs can be cancelled; one that the server cannot take now is sent again by itself. */
export async function waitsAndCancels(world) {
  let fate = new Promise(() => {});
  const line = await lay(world, (request) => (request.method === 'POST' && request.url.endsWith('/analyze-queue') ? fate : ''));
  const page = await open(world, '/', { url: line.url, faults: [LOST] });
  await pick(page, world.photos.slice(0, 1));
  await page.locator('.tray-row[data-state=sending]').waitFor();
  await page.getByRole('button', { name: /^Remove/ }).click();
  await page.locator('.tray').waitFor({ state: 'hidden' });
  fate = 'refuse';
  await pick(page, world.photos.slice(1, 2));
  await page.getByText('The server cannot be reached. Again in').waitFor();
  fate = '';
  await page.getByText('1 photo uploaded').first().waitFor();
  assert.equal((await api(world, 'GET', '/api/assets')).body.items.length, 1);
}

/** The AI service goes away: the page says so, and that it is back. */
export async function losesService(world) {
  world.ai.setAway(true);
  const page = await open(world);
  await page.locator('.connection[data-state=live]').waitFor();
  await upload(world, world.photos[0], 'sneaker');
  await page.getByText('The AI service has been away since').waitFor();
  world.ai.setAway(false);
  await eventually('it is back', async () => await cards(page, 'Ready').count() === 1);
  await page.getByText('The AI service has been away since').waitFor({ state: 'hidden' });
}

/** The Socket.IO client by itself, in a page of the server's origin. */
export async function socketClient(world) {
  const line = await lay(world);
  const page = await open(world, '/', { url: line.url, faults: [LOST] });
  await page.locator('.connection[data-state=live]').waitFor();
  const refused = await page.evaluate(async () => {
    const { connect } = await import('/app/socket.js');
    const ask = (auth, transports) => new Promise((resolve) => {
      let tries = 0;
      const socket = connect({
        transports, auth: () => auth,
        onConnect: (how) => { socket.close(); resolve(how); },
        onRefused: (error) => { tries++; setTimeout(() => { socket.close(); resolve({ ...error, tries }); }, 1_000); return false; },
      });
    });
    return Promise.all([
      ask({}, ['websocket']), ask({ token: 'x' }, ['polling']),
      ask({ token: sessionStorage.getItem('loupe.token') }, ['websocket']), ask({ token: sessionStorage.getItem('loupe.token') }, ['polling']),
    ]);
  });
  assert.deepEqual(refused, [
    { message: 'Authentication required', data: { code: 'UNAUTHORIZED' }, tries: 1 },
    { message: 'Invalid token', data: { code: 'INVALID_TOKEN' }, tries: 1 },
    'websocket', 'polling',
  ]);
}
