// The console, as an administrator uses it.
import assert from 'node:assert/strict';
import { held } from './ai.mjs';
import { api, eventually, open, upload } from './page.mjs';
import { check } from './reading.mjs';

const QUEUE = '/api/assets/queue-status';
const counts = async (world) => (await api(world, 'GET', QUEUE)).body.data;
const rows = (page) => page.locator('tr.letter');
const tile = (page, name) => page.locator('.tile', { hasText: name }).locator('.tile-value');
const focused = (page) => page.evaluate(() => document.activeElement.textContent.trim());

/** Of a thousand dead letters those that failed with one error are found, looked into and replayed; some are discarded. */
export async function consoleMends(world) {
  const page = await open(world, '/console');
  const total = world.letters;
  await page.getByRole('heading', { name: 'Console' }).waitFor();
  await page.getByRole('status').getByText(total.toLocaleString('en-GB'), { exact: true }).waitFor();
  assert.equal(await rows(page).count(), 50);

  await page.getByRole('searchbox', { name: 'Search dead letters' }).fill('Tenant ACME');
  await page.getByText(`37 of ${total.toLocaleString('en-GB')}`).waitFor();
  assert.equal(await rows(page).count(), 37);
  assert.equal(new URL(page.url()).search, '?q=Tenant+ACME');
  await page.reload();
  await page.getByText(`37 of ${total.toLocaleString('en-GB')}`).waitFor();

  const first = rows(page).first().getByRole('button');
  await first.click();
  await page.getByText('Every attempt’s error').waitFor();
  await page.getByRole('group', { name: 'Payload' }).getByText('"category": "sneaker"').waitFor();
  const link = page.getByRole('link', { name: 'Open the photo' });
  assert.match(await link.getAttribute('href'), /^\/assets\/[0-9a-f]{24}$/);
  await first.click();
  await link.waitFor({ state: 'hidden' });

  await page.getByRole('button', { name: 'Retry 37 that match' }).click();
  const dialog = page.getByRole('dialog', { name: 'Retry 37 dead letters?' });
  await dialog.getByText('All that match “Tenant ACME”.').waitFor();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await counts(world)).failed, total, 'cancelled');
  await page.getByRole('button', { name: 'Retry 37 that match' }).click();
  await dialog.getByRole('button', { name: 'Retry 37' }).click();
  await page.getByText('37 are back in the line.').first().waitFor();
  await page.getByText('No dead letter matches.').waitFor();
  await eventually('37 done', async () => {
    const now = await counts(world);
    return (now.failed === total - 37 && now.completed === 37) || now;
  });
  assert.equal((await api(world, 'GET', '/api/assets?status=active&limit=100')).body.items.length, 37);

  const search = page.getByRole('searchbox');
  await search.fill('<img src=x');
  await page.getByText('<img src=x onerror=', { exact: false }).first().waitFor();
  assert.equal(await page.evaluate(() => window.pwned), undefined);

  await search.fill('');
  await page.getByRole('button', { name: `Retry all ${(total - 37).toLocaleString('en-GB')}` }).waitFor();
  await rows(page).nth(0).getByRole('checkbox').check();
  await rows(page).nth(2).getByRole('checkbox').check();
  await page.getByRole('button', { name: 'Discard 2' }).click();
  await page.getByRole('dialog', { name: 'Discard 2 dead letters?' }).getByRole('button', { name: 'Discard 2' }).click();
  await page.getByText('2 were discarded.').first().waitFor();
  assert.equal((await counts(world)).failed, total - 39);

  await page.getByRole('button', { name: 'Show more' }).click();
  await rows(page).nth(99).waitFor();
  await rows(page).nth(98).getByRole('button').click();
  await page.getByRole('button', { name: 'Retry', exact: true }).click();
  await page.getByText('1 is back in the line.').first().waitFor();
  await eventually('one more done', async () => (await counts(world)).completed === 38);
  await tile(page, 'Dead letters').getByText((total - 40).toLocaleString('en-GB')).waitFor();
}

/** What happens is seen without a reload: work under way, a pause that holds, a worker and its job, the plots' tables. */
export async function consoleWatches(world) {
  const waiting = held();
  world.ai.behave('lego', waiting.answer);
  const page = await open(world, '/console');
  await page.locator('.status.pill', { hasText: 'Running' }).waitFor();
  await upload(world, world.photos[0], 'lego');
  await waiting.asked;
  await tile(page, 'Analysing').getByText('1', { exact: true }).waitFor();
  await page.locator('.worker', { hasText: 'this process' }).locator('.running li').waitFor();

  await page.getByRole('button', { name: 'Pause' }).click();
  await page.locator('.status.pill', { hasText: 'Paused' }).waitFor();
  await upload(world, world.photos[0], 'sneaker');
  await tile(page, 'Waiting').getByText('1', { exact: true }).waitFor();
  await page.getByText('held back').waitFor();
  waiting.release(world.ai.whole);
  await eventually('the one that ran has ended', async () => (await counts(world)).active === 0);
  assert.equal((await counts(world)).paused, 1);
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.locator('.status.pill', { hasText: 'Running' }).waitFor();
  await tile(page, 'Waiting').getByText('0', { exact: true }).waitFor();

  const finished = page.locator('.plot', { hasText: 'Finished per minute' });
  await finished.getByText('As a table').click();
  await finished.getByRole('row').nth(1).waitFor();
  await eventually('both finished', async () => {
    const cells = await finished.locator('tbody tr td:nth-child(2)').allInnerTexts();
    return cells.reduce((sum, text) => sum + Number(text), 0) >= 2 || cells;
  });
  assert.match(await finished.getByRole('img').getAttribute('aria-label'), /^Finished per minute, from 5 minutes ago until now\./);
  await page.locator('.console-about', { hasText: 'version' }).waitFor();

  await page.getByRole('row', { name: /^Upload to result/ }).getByText('–').first().waitFor({ state: 'detached' });
}

/** Everything by the keyboard alone. */
export async function consoleByKeyboard(world) {
  const page = await open(world, '/console');
  await rows(page).first().waitFor();
  const before = (await counts(world)).failed;
  const { keyboard } = page;
  await keyboard.press('/');
  await keyboard.type('profile');
  await page.getByRole('button', { name: /^Retry [\d,]+ that match/ }).waitFor();
  await keyboard.press('Tab');
  assert.match(await focused(page), /^Retry [\d,]+ that match$/);
  await keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.match(await focused(page), /^Retry [\d,]+ that match$/, 'the focus is back');

  await keyboard.press('j');
  await keyboard.press('Enter');
  await page.getByText('Every attempt’s error').waitFor();
  await keyboard.press('Enter');
  await keyboard.press('x');
  await keyboard.press('j');
  await keyboard.press('j');
  await keyboard.press('k');
  await keyboard.press('x');
  await page.getByRole('button', { name: 'Retry 2' }).waitFor();
  await keyboard.press('r');
  await page.getByText('2 are back in the line.').first().waitFor();
  await eventually('the focus is on the heading', async () => await focused(page) === 'Dead letters' || focused(page));
  await eventually('two fewer', async () => (await counts(world)).failed === before - 2);

  await keyboard.press('j');
  await keyboard.press('Delete');
  await page.getByRole('dialog', { name: 'Discard 1 dead letter?' }).waitFor();
  assert.equal(await focused(page), 'Cancel');
  await keyboard.press('Tab');
  await keyboard.press('Enter');
  await page.getByText('1 was discarded.').first().waitFor();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.equal((await counts(world)).failed, before - 3);

  await keyboard.press('p');
  await page.locator('.status.pill', { hasText: 'Paused' }).waitFor();
  await keyboard.press('p');
  await page.locator('.status.pill', { hasText: 'Running' }).waitFor();
  await keyboard.press('?');
  await page.getByRole('dialog').getByText('Pause or resume the queue').waitFor();
}

/** axe-core finds nothing, in one theme on a desk and in the other on a phone, however much is open. */
export async function consoleAccessible(world) {
  for (const context of [{ colorScheme: 'light' }, { colorScheme: 'dark', viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }]) {
    const say = (screen) => `${screen}, ${context.colorScheme}, ${context.viewport ? 'phone' : 'desktop'}`;
    const page = await open(world, '/console', { context, faults: [/net::|ERR_/] });
    await rows(page).first().waitFor();
    await page.locator('.tile-value', { hasText: /\d/ }).first().waitFor();
    await check(page, say('the console'));
    for (const summary of await page.locator('.plot summary').all()) await summary.click();
    await rows(page).nth(1).getByRole('button').click();
    await rows(page).nth(3).getByRole('checkbox').check();
    await check(page, say('all open'));
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), say('it is wider than the screen'));
    await page.getByRole('button', { name: 'Discard 1' }).click();
    await page.getByRole('dialog').waitFor();
    await check(page, say('the question'));
    await page.keyboard.press('Escape');
    await page.getByRole('searchbox').fill('nothing has failed with this');
    await page.getByText('No dead letter matches.').waitFor();
    await page.context().setOffline(true);
    await page.getByText('The figures could not be read.').waitFor();
    await check(page, say('no connection'));
    await page.context().setOffline(false);
    await page.getByText('The figures could not be read.').waitFor({ state: 'hidden' });
  }
  const away = await open(world, '/console', { context: { colorScheme: 'dark' } });
  await away.route('**/api/admin/overview*', async (route) => {
    const response = await route.fetch();
    const aiService = { status: 'unavailable', since: new Date().toISOString(), nextLook: new Date(Date.now() + 9_000).toISOString(), failures: 3 };
    await route.fulfill({ response, json: { ...await response.json(), aiService } });
  });
  await away.getByText('The AI service has been away since').waitFor();
  await away.getByText('It is asked again in').waitFor();
  await check(away, 'the console while the service is away');

  const guest = await open(world, '/console', { token: world.guest });
  await guest.getByText('The console is for administrators.').waitFor();
  assert.equal(await guest.getByRole('link', { name: 'Console' }).count(), 0);
  await check(guest, 'the console of somebody else');
}
