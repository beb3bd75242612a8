// Takes a picture of every screen, in both themes, as wide as a desk and as narrow as a phone.
//
//   node web/screenshots.mjs <path of loupe> <directory for the pictures>
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { chromium } from 'playwright-core';
import { held, startAI } from './ai.mjs';

const [loupe, out] = process.argv.slice(2).map((path) => resolve(path));
const work = await mkdtemp(join(tmpdir(), 'loupe-'));
const servers = [];
await mkdir(out, { recursive: true });
const ai = await startAI();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  await takeAll();
} finally {
  await browser.close();
  for (const server of servers) await server.end();
  await rm(work, { recursive: true });
}
process.exit(); // for the AI service has still somebody who waits

/** Starts a server; {url, end()}. */
async function serve(command, name, env) {
  const child = spawn(loupe, [command], { env: { PATH: process.env.PATH, PORT: '0', LOUPE_DATA_DIR: join(work, name), ...env } });
  const ended = new Promise((resolve) => { child.on('exit', resolve); });
  servers.push({ end: () => { child.kill(); return ended; } });
  return new Promise((resolve, reject) => {
    for (const input of [child.stdout, child.stderr]) {
      createInterface({ input }).on('line', (line) => {
        const match = /listen.*(http:\/\/127\.0\.0\.1:\d+)/.exec(line);
        if (match) resolve(match[1]);
      });
    }
    ended.then((code) => reject(new Error(`loupe ${command} has ended with ${code}`)));
  });
}

async function takeAll() {
  const url = await serve('serve', 'data', { AI_SERVICE_URL: ai.url, LOUPE_BACKOFF: '1h' });
  const shop = await fill(url);
  const closed = await serve('serve', 'closed', { JWT_SECRET: 'a secret of sixteen bytes and more' });
  const empty = await serve('serve', 'empty', {});

  const screens = {
    collection: async (page) => { await page.goto(url); await pictures(page); },
    uploads: async (page) => {
      await page.route('**/api/assets/analyze-queue', () => {}); // never answered
      await page.goto(url);
      await pictures(page);
      await page.locator('#files').setInputFiles([...shop.files.slice(0, 4), shop.noPhoto]);
      await page.locator('.tray-row[data-state=refused]').waitFor();
      await page.waitForTimeout(500);
    },
    failed: async (page) => { await page.goto(`${url}/?status=failed`); await pictures(page); },
    empty: async (page) => { await page.goto(empty); await page.getByText('Add your first photo').waitFor(); },
    asset: async (page) => { await page.goto(`${url}/assets/${shop.best}`); await pictures(page); },
    'asset-edit': async (page) => {
      await page.goto(`${url}/assets/${shop.best}`);
      await pictures(page);
      await page.getByRole('button', { name: 'Edit Model' }).click();
    },
    'asset-failed': async (page) => { await page.goto(`${url}/assets/${shop.failed}`); await pictures(page); },
    'asset-waiting': async (page) => { await page.goto(`${url}/assets/${shop.waiting}`); await pictures(page); },
    deleted: async (page) => {
      await page.goto(url);
      await pictures(page);
      await page.locator('.card').first().focus();
      await page.keyboard.press('Delete');
      await page.getByRole('button', { name: 'Undo' }).waitFor();
    },
    menu: async (page) => { await page.goto(url); await pictures(page); await page.getByRole('button', { name: 'Settings and help' }).click(); },
    help: async (page) => { await page.goto(`${url}/assets/${shop.best}`); await pictures(page); await page.keyboard.press('?'); },
    'sign-in': async (page) => { await page.goto(closed); await page.getByLabel('Token').fill('eyJhbGciOiJIUzI1NiJ9'); },
    console: async (page) => { await page.goto(`${url}/console`); await pictures(page); },
    away: async (page) => {
      await page.goto(url);
      await pictures(page);
      await page.context().setOffline(true);
      await page.getByText('No live connection.').waitFor();
    },
  };
  const only = process.env.ONLY?.split(',');
  for (const colorScheme of ['light', 'dark']) {
    for (const [width, viewport, device] of [['wide', { width: 1440, height: 900 }, {}], ['phone', { width: 390, height: 844 }, { hasTouch: true, isMobile: true, deviceScaleFactor: 2 }]]) {
      for (const [name, show] of Object.entries(screens)) {
        if (only && !only.includes(name)) continue;
        const context = await browser.newContext({ viewport, colorScheme, locale: 'en-GB', ...device });
        const page = await context.newPage();
        await show(page);
        await page.waitForTimeout(350);
        await page.screenshot({ path: join(out, `${name}-${width}-${colorScheme}.png`) });
        await context.setOffline(true); // what was deleted for the picture is not
        await context.close();
      }
    }
  }
}

async function pictures(page) {
  await page.locator('img').first().waitFor();
  await page.waitForLoadState('networkidle').catch(() => {});
  await page.waitForTimeout(300);
}

/** Fills a collection with things of many colours, some of which are on their way, or did not get there. */
async function fill(url) {
  const { token } = await (await fetch(`${url}/api/session`, { method: 'POST' })).json();
  const headers = { authorization: `Bearer ${token}` };
  const photos = await draw();
  const things = [
    ['camera', 0, 'Leica', 'M3', 'Chrome / Black'],
    ['sneaker', 0, 'Nike', 'Air Max 90', 'Infrared'],
    ['camera', 140, 'Nikon', 'FM2', 'Chrome / Black'],
    ['sneaker', 210, 'Adidas', 'Samba OG', 'Royal Blue'],
    ['sneaker', 100, 'New Balance', '574', 'Forest Green'],
    ['camera', 200, 'Olympus', 'OM-1', 'Silver'],
    ['sneaker', 300, 'Puma', 'Suede Classic', 'Magenta'],
    ['sneaker', 40, 'Converse', 'Chuck 70', 'Sunflower'],
    ['camera', 60, 'Pentax', 'K1000', 'Chrome'],
    ['sneaker', 170, 'Vans', 'Old Skool', 'Teal'],
    ['camera', 300, 'Canon', 'AE-1', 'Black'],
    ['sneaker', 250, 'Asics', 'Gel-Lyte III', 'Violet'],
    ['sneaker', 0, 'Nike', 'Air Jordan 1', 'Chicago'],
  ];
  const files = [];
  const shop = { files, noPhoto: join(work, 'Notes about the shelf.jpg') };
  await writeFile(shop.noPhoto, 'no photo');

  const add = async (category, photo, name) => {
    const form = new FormData();
    form.append('category', category);
    form.append('image', new Blob([photo]), name);
    const { data } = await (await fetch(`${url}/api/assets/analyze-queue`, { method: 'POST', headers, body: form })).json();
    return data.assetId;
  };
  const becomes = async (id, ...statuses) => {
    for (;;) {
      const { status } = await (await fetch(`${url}/api/assets/${id}`, { headers })).json();
      if (statuses.includes(status)) return;
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
  };

  for (const [i, [category, hue, brand, model, colorway]] of things.entries()) {
    const { before, after } = photos[`${category} ${hue}`];
    const file = join(work, `IMG_${4210 + i * 7}.jpg`);
    files.push(file);
    await writeFile(file, before);
    await writeFile(join(work, `after-${i}.png`), after);
    const processedImageUrl = ai.serve(`after-${i}.png`, join(work, `after-${i}.png`));
    ai.behave(category, { brand: { value: brand, confidence: 0.96 }, model: { value: model, confidence: 0.74 - i / 100 }, colorway: { value: colorway, confidence: 0.47 }, processedImageUrl });
    const id = await add(category, before, 'photo.jpg');
    await becomes(id, 'active');
    shop.best = id;
    if (i === 3) {
      ai.behave('other', { status: 422, body: {} });
      shop.failed = await add('other', photos['camera 200'].before, 'photo.jpg');
      await becomes(shop.failed, 'failed');
    }
    if (i === 8) {
      ai.behave('lego', { processedImageUrl });
      await becomes(await add('lego', photos['sneaker 40'].before, 'photo.jpg'), 'partial');
    }
  }
  ai.behave('other', { status: 500, body: {} });
  shop.waiting = await add('other', photos['sneaker 210'].before, 'photo.jpg');
  ai.behave('lego', held().answer);
  await add('lego', photos['camera 60'].before, 'photo.jpg');
  await new Promise((resolve) => { setTimeout(resolve, 500); });
  return shop;
}

/** Draws what the things look like: loupe's own samples in other colours, and cut out of their background. */
async function draw() {
  const server = await serve('demo', 'samples', {});
  const { token } = await (await fetch(`${server}/api/session`, { method: 'POST' })).json();
  let items = [];
  while (items.length < 2) ({ items } = await (await fetch(`${server}/api/assets`, { headers: { authorization: `Bearer ${token}` } })).json());
  const page = await browser.newPage();
  await page.goto(server);
  const drawn = await page.evaluate(async (items) => {
    const all = {};
    const bytes = async (canvas, options) => {
      const blob = await canvas.convertToBlob(options);
      return new Promise((resolve) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result.split(',')[1]);
        reader.readAsDataURL(blob);
      });
    };
    for (const item of items) {
      const picture = await createImageBitmap(await (await fetch(new URL(item.images.original.url).pathname)).blob());
      for (let hue = 0; hue < 360; hue += 10) {
        if (![0, 40, 60, 100, 140, 170, 200, 210, 250, 300].includes(hue)) continue;
        const canvas = new OffscreenCanvas(960, 720);
        const context = canvas.getContext('2d');
        context.filter = `hue-rotate(${hue}deg)`;
        context.drawImage(picture, 0, 0, 960, 720);
        const before = await bytes(canvas, { type: 'image/jpeg', quality: 0.9 });
        // What has the hue of the paper is paper: from the edges inwards.
        const image = context.getImageData(0, 0, 960, 720);
        const { data } = image;
        const seen = new Uint8Array(960 * 720);
        const queue = [];
        const push = (x, y, from) => {
          if (x < 0 || y < 0 || x >= 960 || y >= 720 || seen[y * 960 + x]) return;
          const at = 4 * (y * 960 + x);
          const [r, g, b] = [data[at], data[at + 1], data[at + 2]];
          const grey = Math.max(r, g, b) - Math.min(r, g, b) < 0.2 * Math.max(r, g, b);
          if (from !== null && (grey || Math.abs(data[from] - r) + Math.abs(data[from + 1] - g) + Math.abs(data[from + 2] - b) > 22)) return;
          seen[y * 960 + x] = 1;
          queue.push(at);
        };
        for (let x = 0; x < 960; x++) { push(x, 0, null); push(x, 719, null); }
        for (let y = 0; y < 720; y++) { push(0, y, null); push(959, y, null); }
        while (queue.length > 0) {
          const at = queue.pop();
          const [x, y] = [(at / 4) % 960, Math.floor(at / 4 / 960)];
          push(x + 1, y, at); push(x - 1, y, at); push(x, y + 1, at); push(x, y - 1, at);
        }
        for (let i = 0; i < seen.length; i++) if (seen[i]) data[4 * i + 3] = 0;
        context.filter = 'none';
        context.putImageData(image, 0, 0);
        all[`${item.category} ${hue}`] = { before, after: await bytes(canvas) };
      }
    }
    return all;
  }, items);
  await page.close();
  return Object.fromEntries(Object.entries(drawn).map(([name, { before, after }]) => [name, { before: Buffer.from(before, 'base64'), after: Buffer.from(after, 'base64') }]));
}
