// The main paths, as a user goes them.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { held } from './ai.mjs';
import { api, cards, choose, drop, eventually, open, pick, settled } from './page.mjs';

const FAILED = /the server responded with a status of 4\d\d/;

/** Three photos by drop, three by the picker, one pasted; what is no photo stays outside. All end, live. */
export async function uploads(world) {
  const page = await open(world);
  await page.getByText('Add your first photo').waitFor();
  assert.equal(new URL(page.url()).hash, '', 'the token stays in the address');

  await drop(page, world.photos);
  await page.getByText('3 photos uploaded').first().waitFor();
  await eventually('3 ready', async () => await cards(page, 'Ready').count() === 3 || cards(page, '').allInnerTexts());
  await pick(page, world.photos);
  await eventually('6 ready', async () => await cards(page, 'Ready').count() === 6 || cards(page, '').allInnerTexts());

  const directory = dirname(world.photos[0]);
  const large = join(directory, 'large.png');
  const words = join(directory, 'words.png');
  await writeFile(large, Buffer.alloc(2_000_000, 1));
  await writeFile(words, 'no photo');
  await drop(page, [large, words]);
  await page.getByText('2 MB is too large: at most 1 MB.').waitFor();
  await page.getByText('Not a JPEG, PNG, WebP or GIF photo.').waitFor();
  await page.getByText('2 photos were not uploaded').first().waitFor();
  await page.getByRole('button', { name: 'Close', exact: true }).click();
  await page.getByRole('region', { name: 'Uploads' }).waitFor({ state: 'hidden' });

  await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(40, 30);
    canvas.getContext('2d').fillRect(5, 5, 20, 10);
    const transfer = new DataTransfer();
    transfer.items.add(new File([await canvas.convertToBlob()], 'pasted.png', { type: 'image/png' }));
    document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true, cancelable: true }));
  });
  await eventually('7 ready', async () => await cards(page, 'Ready').count() === 7 || cards(page, '').allInnerTexts());
  const { body } = await api(world, 'GET', '/api/assets?limit=100');
  assert.equal(body.items.length, 7);

  await page.getByRole('link', { name: 'Lego' }).click();
  await page.getByText('No photos here').waitFor();
  assert.equal(new URL(page.url()).search, '?category=lego');
  await page.goBack();
  await eventually('7 again', async () => await cards(page, 'Ready').count() === 7);
}

/** An asset's page: edit, accept, category, archive and back; all of it is there after a reload. */
export async function details(world) {
  world.ai.behave('sneaker', { ...world.ai.whole, processedImageUrl: world.ai.serve('after.jpg', world.photos[1]) });
  const id = await settled(world, world.photos[0], 'sneaker');
  const page = await open(world, `/assets/${id}`);
  await page.getByRole('heading', { name: 'Nike Air Jordan 1' }).waitFor();
  await page.getByText('High confidence, 95%').waitFor();
  await page.getByText('Medium confidence, 68%').waitFor();
  await page.getByText('Low confidence, 41%').waitFor();
  for (const what of ['Received', 'Stored', 'Queued', 'Analysis began', 'Done']) {
    await page.locator('.timeline').getByText(new RegExp(`^${what}`)).waitFor();
  }

  const after = page.getByRole('img', { name: 'Processed photo' });
  await eventually('the processed picture', () => after.evaluate((image) => image.naturalWidth === 1280));
  const seen = () => page.locator('.compare-picture.before').evaluate((element) => getComputedStyle(element).clipPath);
  await page.getByRole('button', { name: 'After' }).click();
  assert.equal(await seen(), 'inset(0px 100% 0px 0px)');
  const stage = await page.locator('.compare-stage').boundingBox();
  await page.mouse.click(stage.x + stage.width * 0.75, stage.y + stage.height / 2);
  const part = Number(await page.locator('.compare-range').inputValue());
  assert.ok(part > 70 && part < 80, `${part} % are seen`);

  await page.getByRole('button', { name: 'Edit Brand' }).click();
  await page.getByRole('textbox', { name: 'Brand' }).fill('Jordan');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { name: 'Jordan Air Jordan 1' }).waitFor();
  await page.getByText('Recognised: Nike').waitFor();
  await page.keyboard.press('a');
  await eventually('all accepted', async () => {
    const { body } = await api(world, 'GET', `/api/assets/${id}`);
    return JSON.stringify(body.details) === JSON.stringify({ brand: 'Jordan', model: 'Air Jordan 1', colorway: 'Chicago' }) || body.details;
  });
  await page.getByLabel('Category').selectOption('camera');
  await eventually('its category', async () => (await api(world, 'GET', `/api/assets/${id}`)).body.category === 'camera');

  await page.getByRole('button', { name: 'Archive' }).click();
  await page.getByText('Photo archived', { exact: true }).first().waitFor();
  await page.reload();
  await page.locator('.asset-title').getByText('Archived').waitFor();
  await page.getByRole('heading', { name: 'Jordan Air Jordan 1' }).waitFor();
  assert.equal(await page.getByText('Yours').filter({ visible: true }).count(), 3);
  await page.getByRole('link', { name: 'Photos' }).first().click();
  await page.locator('.grid').waitFor({ state: 'attached' });
  assert.equal(await page.locator(`[data-id="${id}"]`).count(), 0, 'what is archived is in the collection');
  await page.getByRole('link', { name: 'Archived' }).click();
  await page.locator(`[data-id="${id}"]`).click();
  await page.getByRole('button', { name: 'Take out of archive' }).click();
  await page.locator('.asset-title').getByText('Ready').waitFor();
}

/** A photo on its way: attempts are told as they are made, the failure in plain words, and the retry mends it. */
export async function retries(world) {
  const second = held();
  world.ai.behave('camera', { status: 500, body: {} }, second.answer, { status: 422, body: { error: { message: 'a secret of the service' } } }, world.ai.whole);
  const page = await open(world, '/?category=camera');
  await pick(page, world.photos.slice(0, 1));
  await second.asked;
  await cards(page, 'Attempt 2 of 3').click();
  await page.locator('.timeline').getByText('Attempt 1 failed').waitFor();
  await page.locator('.timeline').getByText('Being analysed').waitFor();
  second.release({ status: 500, body: {} });

  const error = page.getByRole('alert');
  await error.getByText('The photo could not be analysed.').waitFor();
  const id = new URL(page.url()).pathname.split('/').at(-1);
  await error.getByText(`Job ${id}-1`).waitFor();
  await page.locator('.timeline').getByText(/^Failed/).waitFor();
  assert.equal(await page.getByText('a secret of the service').count(), 0);

  await page.getByRole('button', { name: 'Analyse again' }).click();
  await page.locator('.asset-title').getByText('Ready').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Analyse again' }).count(), 0);
}

/** Deleting has a way back for a while, and is done when the user leaves. */
export async function deleting(world) {
  const faults = [FAILED];
  const kept = await settled(world, world.photos[0], 'other');
  const gone = await settled(world, world.photos[1], 'other');
  const page = await open(world, '/?category=other', { faults });
  const card = (id) => page.locator(`[data-id="${id}"] a`);

  await card(kept).focus();
  await page.keyboard.press('Delete');
  await card(kept).waitFor({ state: 'detached' });
  assert.equal(await page.evaluate(() => document.activeElement.className), 'card', 'the focus has gone with the photo');
  await page.getByRole('button', { name: 'Undo' }).click();
  await card(kept).waitFor();

  await card(kept).click();
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByRole('heading', { name: 'Nike Air Jordan 1' }).waitFor();
  await page.goBack();

  await card(gone).focus();
  await page.keyboard.press('Delete');
  assert.equal((await api(world, 'GET', `/api/assets/${gone}`)).status, 200, 'it was deleted before its time');
  await page.getByRole('button', { name: 'Dismiss' }).click();
  await eventually('gone', async () => (await api(world, 'GET', `/api/assets/${gone}`)).status === 404);
  assert.equal((await api(world, 'GET', `/api/assets/${kept}`)).status, 200);

  await card(kept).focus();
  await page.keyboard.press('Delete');
  await page.reload();
  await eventually('gone with the page', async () => (await api(world, 'GET', `/api/assets/${kept}`)).status === 404);
  await page.goto(`${world.url}/assets/${kept}`);
  await page.getByText('There is no such photo').waitFor();
}

/** The whole path with the keyboard alone. */
export async function keyboard(world) {
  world.ai.behave('sneaker', { ...world.ai.whole, processedImageUrl: world.ai.serve('after.jpg', world.photos[1]) });
  const page = await open(world);
  const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.getAttribute('aria-label'));
  const tabTo = async (name) => {
    for (let n = 0; n < 40; n++) {
      if (await focused() === name) return;
      await press('Tab');
    }
    assert.fail(`Tab does not come to ${name}`);
  };
  await page.getByText('Add your first photo').waitFor();

  await press('Tab');
  assert.equal(await focused(), 'Skip to content');
  await press('Enter');
  await tabTo('Add photos');
  await choose(page, world.photos, () => press('Enter'));
  await eventually('3 ready', async () => await cards(page, 'Ready').count() === 3);

  await page.locator('.card').first().focus();
  const first = await page.evaluate(() => document.activeElement.pathname);
  await press('ArrowRight', 'ArrowRight', 'ArrowLeft', 'Home');
  assert.equal(await page.evaluate(() => document.activeElement.pathname), first);
  await press('Enter');
  await page.getByRole('heading', { name: 'Nike Air Jordan 1' }).waitFor();

  await press('e');
  await page.keyboard.type('Mine');
  await press('Enter');
  await page.getByRole('heading', { name: 'Mine Air Jordan 1' }).waitFor();
  await press('a');
  await eventually('accepted', async () => await page.getByText('Yours').filter({ visible: true }).count() === 3);
  await page.locator('.compare-range').focus();
  await press('Home');
  await eventually('the slider is at 0%', async () => await page.locator('.compare-range').getAttribute('aria-valuetext') === '0%');
  await press('y');
  await page.locator('.asset-title').getByText('Archived').waitFor();
  await press('z');
  await page.locator('.asset-title').getByText('Ready').waitFor();
  await press('j');
  await page.getByRole('heading', { name: 'Nike Air Jordan 1' }).waitFor();
  await press('k');
  await page.getByRole('heading', { name: 'Mine Air Jordan 1' }).waitFor();

  await press('?');
  const help = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
  await help.getByText('Accept what was recognised').waitFor();
  await press('Escape');
  await help.waitFor({ state: 'detached' });

  await press('Escape');
  await page.locator('.grid').waitFor();
  await eventually('the focus is on the photo that was left', () => page.evaluate(() => document.activeElement.className === 'card'));
  await press('Delete');
  await eventually('2 left', async () => await page.locator('.card').count() === 2);
  await press('z');
  await eventually('3 again', async () => await page.locator('.card').count() === 3);

  await press('?');
  await page.getByLabel('Use keys without Ctrl or Alt as shortcuts').uncheck();
  await press('Escape');
  await press('5');
  assert.equal(new URL(page.url()).search, '', 'letters count though they were switched off');
}
