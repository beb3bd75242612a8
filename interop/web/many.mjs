// Five thousand photos: what the first look costs, and what scrolling through all of them does.
import assert from 'node:assert/strict';
import { eventually, open } from './page.mjs';

const CARDS = 200; // in the document at once, at most

export async function manyPhotos(world) {
  const page = await open(world, '/', { context: { viewport: { width: 1280, height: 800 } } });
  await page.locator('.card').first().waitFor();
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  await page.reload(); // for what came before was not counted
  await page.locator('.card').first().waitFor();
  const measure = async () => {
    await session.send('HeapProfiler.collectGarbage');
    const { metrics } = await session.send('Performance.getMetrics');
    const value = (name) => metrics.find((metric) => metric.name === name).value;
    return { heap: value('JSHeapUsedSize') / 1e6, nodes: value('Nodes'), script: value('ScriptDuration') * 1000, layout: value('LayoutDuration') * 1000 };
  };
  const first = await measure();
  const paint = await page.evaluate(() => {
    const [navigation] = performance.getEntriesByType('navigation');
    const list = performance.getEntriesByType('resource').find(({ name }) => name.includes('/api/assets?'));
    return {
      page: Math.round(navigation.responseEnd - navigation.requestStart),
      list: Math.round(list.responseEnd - list.requestStart),
      paint: Math.round(performance.getEntriesByName('first-contentful-paint')[0].startTime),
    };
  });
  world.say(`first look: page ${paint.page} ms and list ${paint.list} ms of the server, script ${Math.round(first.script)} ms, layout ${Math.round(first.layout)} ms; ` +
    `first paint at ${paint.paint} ms; heap ${first.heap.toFixed(1)} MB, ${first.nodes} nodes`);

  // A wheel that turns without rest, until the end has come.
  let most = 0;
  const steps = await page.evaluate(async () => {
    const gaps = [];
    let last = performance.now();
    let most = 0;
    let still = 0;
    while (still < 60) {
      const before = scrollY;
      scrollBy(0, 1000);
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      gaps.push(now - last);
      last = now;
      most = Math.max(most, document.querySelectorAll('.grid > li').length);
      still = scrollY === before ? still + 1 : 0;
      if (still > 0) await new Promise((resolve) => { setTimeout(resolve, 20); });
      if (still > 0) last = performance.now();
    }
    gaps.sort((a, b) => a - b);
    const at = (share) => gaps[Math.floor(share * (gaps.length - 1))];
    return { frames: gaps.length, p50: at(0.5), p95: at(0.95), worst: at(1), most };
  });
  most = steps.most;
  await eventually('the end', async () => {
    const last = page.locator('.grid > li[data-id]').last();
    const [place, size] = [await last.getAttribute('aria-posinset'), await last.getAttribute('aria-setsize')];
    return (place === '5000' && size === '5000') || `${place} of ${size}`;
  });
  const end = await measure();
  world.say(`scrolled to the last of 5000: ${steps.frames} frames, p50 ${steps.p50.toFixed(1)} ms, p95 ${steps.p95.toFixed(1)} ms, worst ${steps.worst.toFixed(0)} ms; ` +
    `at most ${most} cards; heap ${end.heap.toFixed(1)} MB, ${end.nodes} nodes`);
  assert.ok(most <= CARDS, `${most} cards in the document`);

  await page.evaluate(() => scrollTo(0, 0));
  await eventually('the first', async () => await page.locator('.grid > li[data-id]').first().getAttribute('aria-posinset') === '1');
  for (let n = 0; n < 20; n++) {
    await page.evaluate((n) => scrollTo(0, n % 2 ? 0 : document.documentElement.scrollHeight), n);
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  const after = await measure();
  world.say(`to and fro 20 times: heap ${after.heap.toFixed(1)} MB, ${after.nodes} nodes`);
  assert.ok(after.heap < end.heap + 10, `the heap grows from ${end.heap} to ${after.heap} MB`);
  assert.ok(after.nodes < 3 * first.nodes + 5_000, `${after.nodes} nodes, at first ${first.nodes}`);
}
