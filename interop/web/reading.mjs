// Whether everybody can read and use it: axe on every screen in both themes, languages, signing in.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { held } from './ai.mjs';
import { drop, eventually, open, pick, settled } from './page.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core finds on a screen fails the scenario. */
export async function check(page, screen) {
  await page.evaluate(() => Promise.all(document.getAnimations().filter((a) => a.effect.getTiming().iterations !== Infinity).map((a) => a.finished.catch(() => {}))));
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} (${node.failureSummary})`).join('\n')}`);
  });
  assert.deepEqual(found, [], `axe on ${screen}`);
}

/** axe-core finds nothing, on any screen, in either theme, on a phone or not. */
export async function accessible(world) {
  const words = join(dirname(world.photos[0]), 'no-photo.png');
  await writeFile(words, 'no photo');
  const waiting = held();
  world.ai.behave('camera', { status: 422, body: {} });
  world.ai.behave('lego', waiting.answer);
  const faults = [/status of 404/, /net::|ERR_/];
  let ready;
  let failed;
  for (const [colorScheme, viewport] of [['light', { width: 1200, height: 800 }], ['dark', { width: 390, height: 844 }]]) {
    const context = { colorScheme, viewport, bypassCSP: true, reducedMotion: 'reduce' };
    const say = (screen) => `${screen}, ${colorScheme}`;
    if (!ready) {
      const page = await open(world, '/', { context, faults });
      await page.getByText('Add your first photo').waitFor();
      await check(page, say('the empty collection'));
      ready = await settled(world, world.photos[0], 'sneaker');
      failed = await settled(world, world.photos[1], 'camera', 'failed');
    }
    const page = await open(world, '/', { context, faults });
    await page.locator('.card').nth(1).waitFor();
    await drop(page, [world.photos[2], words]);
    await page.getByText('1 photo was not uploaded').first().waitFor();
    await check(page, say('the collection'));
    await page.getByRole('button', { name: 'Close', exact: true }).click();
    await page.getByRole('button', { name: 'Settings and help' }).click();
    await check(page, say('the menu'));
    await page.getByRole('button', { name: 'Keyboard shortcuts' }).click();
    await check(page, say('the help'));
    await page.keyboard.press('Escape');
    await page.locator('.card').first().focus();
    await page.keyboard.press('Delete');
    await check(page, say('a message'));
    await page.keyboard.press('z');

    await page.goto(`${world.url}/?status=archived`);
    await page.getByText('No photos here').waitFor();
    await check(page, say('nothing found'));

    await page.goto(`${world.url}/assets/${ready}`);
    await page.getByText('High confidence, 95%').waitFor();
    await check(page, say('a photo'));
    await page.getByRole('button', { name: 'Edit Brand' }).click();
    await check(page, say('an edit'));
    await page.goto(`${world.url}/assets/${failed}`);
    await page.getByRole('alert').waitFor();
    await check(page, say('a failed photo'));
    await page.goto(`${world.url}/?category=lego`);
    await pick(page, world.photos.slice(0, 1));
    await page.locator('.card[data-status=processing]').first().click();
    await page.locator('.timeline').getByText('Being analysed').waitFor();
    await check(page, say('a photo on its way'));
    await page.goto(`${world.url}/assets/${'0'.repeat(24)}`);
    await page.getByText('There is no such photo').waitFor();
    await check(page, say('no such photo'));

    await page.context().setOffline(true);
    await page.getByText('No live connection.').waitFor();
    await page.getByRole('link', { name: 'Photos' }).first().click();
    await page.getByRole('link', { name: 'Failed' }).click();
    await page.getByText('The photos could not be loaded.').waitFor();
    await check(page, say('no connection'));
    await page.context().setOffline(false);

    const stranger = await open(world, '/', { context, faults: [/status of 401/], token: '' });
    await stranger.getByRole('dialog', { name: 'Sign in' }).waitFor();
    await stranger.getByLabel('Token').fill('nonsense');
    await stranger.keyboard.press('Enter');
    await stranger.getByText('This is not a token').waitFor();
    await check(stranger, say('the sign-in'));
  }
  waiting.release(world.ai.whole);
}

/** A token is pasted; its end is told before it comes; when it has come the page asks for another, and goes on. */
export async function signsIn(world) {
  const page = await open(world, '/?status=active', { token: '', faults: [/status of 401/] });
  await page.getByLabel('Token').fill(world.tokens.soon);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('You are signed in until').waitFor();
  assert.equal(new URL(page.url()).search, '?status=active');
  assert.equal(await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage })), '{}', 'the token is kept beyond the tab');

  await page.getByRole('button', { name: 'Sign in again' }).click();
  await page.getByLabel('Token').fill(world.token);
  await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('You are signed in until').waitFor({ state: 'hidden' });
  await page.locator('.connection[data-state=live]').waitFor();

  const late = await open(world, '/', { token: world.tokens.brief, faults: [/status of 401/] });
  await late.getByRole('dialog', { name: 'Sign in' }).waitFor();
  await pickBehind(late, world);
  await late.getByLabel('Token').fill(world.token);
  await late.keyboard.press('Enter');
  await late.getByRole('dialog').waitFor({ state: 'detached' });
  await late.locator('.connection[data-state=live]').waitFor();

  await late.getByRole('button', { name: 'Settings and help' }).click();
  await late.getByRole('button', { name: 'Sign out' }).click();
  await late.getByRole('dialog', { name: 'Sign in' }).waitFor();
  assert.equal(await late.evaluate(() => sessionStorage.length), 0);
}

// Escape does not lead past the sign-in.
async function pickBehind(page) {
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog', { name: 'Sign in' }).waitFor();
}

/** Without JWT_SECRET whoever opens the page is in. */
export async function signsInByItself(world) {
  const page = await open(world, '/', { token: '' });
  await page.getByText('Add your first photo').waitFor();
  await pick(page, world.photos.slice(0, 1));
  await eventually('ready', async () => await page.locator('.card').getByText('Ready').count() === 1);
  await page.getByText('Red / White / Black').waitFor();
}

/** Vietnamese is there, whole; and no key lacks its text. */
export async function speaks(world) {
  const page = await open(world, '/', { context: { locale: 'vi-VN' } });
  await page.getByText('Thêm ảnh đầu tiên').waitFor();
  assert.equal(await page.locator('html').getAttribute('lang'), 'vi');
  const [en, vi] = await page.evaluate(async () => Promise.all(['en', 'vi'].map(async (language) => {
    const { texts } = await import(`/app/texts.${language}.js`);
    return Object.entries(texts).map(([key, text]) => [key, [...new Set(JSON.stringify(text).match(/\{\w+\}/g) ?? [])].sort().join()]);
  })));
  assert.deepEqual(vi, en, 'keys and their values');

  const known = new Set(en.map(([key]) => key));
  for (const module of world.modules) {
    const source = await (await fetch(`${world.url}${module}`)).text();
    for (const [, key] of source.matchAll(/\bt\('([\w.]+)'/g)) assert.ok(known.has(key), `${module}: no text for ${key}`);
  }
  await page.getByRole('button', { name: 'Cài đặt và trợ giúp' }).click();
  await page.getByLabel('Ngôn ngữ').selectOption('en');
  await page.getByText('Add your first photo').waitFor();
}
