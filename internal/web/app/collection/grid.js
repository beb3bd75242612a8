// The grid shows, of however many photos, those that are near the window: the others are space. So its cost does not grow
// with the collection.
import { arrange, h, set } from '../dom.js';
import { peek } from '../assets.js';
import { t } from '../i18n.js';
import { card, skeleton } from './card.js';

const LEAST = 168; // pixels that a card is wide at least, on a phone
const LEAST_WIDE = 216; // and elsewhere
const CAPTION = 62; // pixels below a picture
const AHEAD = 1; // window heights that are kept ready above and below

/**
 * grid(list) returns {element, focus(id), close()}. It reads more of the list as its end comes near.
 */
export function grid(list) {
  const element = h('ul', { class: 'grid', role: 'list', 'aria-label': t('collection.grid') });
  const cards = new Map(); // by id, those in the document
  const spare = []; // cards to be filled anew
  let columns = 1;
  let gap = 16;
  let rowHeight = 240;
  let frame = 0;

  function measure() {
    const width = element.clientWidth;
    const phone = width < 640;
    gap = phone ? 12 : 20;
    columns = Math.max(2, Math.floor((width + gap) / ((phone ? LEAST : LEAST_WIDE) + gap)));
    if (phone && width < 2 * 140 + gap) columns = 1;
    const cardWidth = (width - gap * (columns - 1)) / columns;
    rowHeight = Math.round(cardWidth * 3 / 4) + CAPTION + gap;
    element.style.setProperty('--columns', columns);
    element.style.setProperty('--gap', `${gap}px`);
    element.style.setProperty('--picture', `${rowHeight - CAPTION - gap}px`);
  }

  function paint() {
    frame = 0;
    const count = list.ids.length;
    const waiting = list.state === 'done' || list.state === 'failed' ? 0 : columns * (count === 0 ? 3 : 1) + (columns - (count % columns)) % columns;
    const rows = Math.ceil((count + waiting) / columns);
    const top = element.getBoundingClientRect().top;
    const reach = innerHeight * AHEAD;
    const first = Math.max(0, Math.floor((-top - reach) / rowHeight)) * columns;
    const last = Math.max(first, Math.ceil((innerHeight - top + reach) / rowHeight) * columns);
    element.style.setProperty('height', `${Math.max(0, rows * rowHeight - gap)}px`);
    element.style.setProperty('padding-top', `${first / columns * rowHeight}px`);

    // The card that has the focus stays, wherever the window has gone: focus must not fall to the page.
    const focused = element.contains(document.activeElement) ? document.activeElement.closest('li')?.dataset.id : null;
    const wanted = [];
    const ids = list.ids.slice(first, last);
    const setsize = list.state === 'done' ? count : -1;
    const stays = new Set(ids);
    for (const [id, element] of cards) {
      if (stays.has(id)) continue;
      if (id === focused && list.ids.includes(id)) {
        element.classList.add('away');
        wanted.push(element);
        continue;
      }
      cards.delete(id);
      spare.push(element);
    }
    ids.forEach((id, i) => {
      const asset = peek(id);
      if (!asset) return;
      let element = cards.get(id);
      if (!element) {
        element = spare.pop() ?? card();
        cards.set(id, element);
      }
      element.classList.remove('away');
      element.show(asset, first + i, setsize);
      wanted.push(element);
    });
    for (let i = count; i < Math.min(count + waiting, last); i++) wanted.push(skeleton());
    arrange(element, wanted);
    spare.length = Math.min(spare.length, 40);
    set(element, 'aria-busy', String(list.state === 'loading'));
    if (last + columns * 2 > count && list.state === 'ready') list.more();
  }

  const repaint = () => { frame ||= requestAnimationFrame(paint); };
  const resized = new ResizeObserver(() => {
    measure();
    repaint();
  });
  const update = ({ detail }) => {
    const place = list.ids.indexOf(detail.id);
    cards.get(detail.id)?.show(detail, place, list.state === 'done' ? list.ids.length : -1);
  };

  // Arrows go through the grid as it is seen; Tab goes through it as it is read.
  const move = (event) => {
    const at = list.ids.indexOf(event.target.closest('li')?.dataset.id);
    const row = columns;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row, Home: -at, End: list.ids.length - 1 - at }[event.key];
    if (at < 0 || step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = at + step;
    if (to < 0 || to >= list.ids.length) return;
    event.preventDefault();
    focus(list.ids[to]);
  };

  /** Gives a photo's card the focus, and brings it into the window. */
  function focus(id) {
    const place = list.ids.indexOf(id);
    if (place < 0) return false;
    if (!cards.has(id)) {
      const y = scrollY + element.getBoundingClientRect().top + Math.floor(place / columns) * rowHeight;
      scrollTo(0, y - innerHeight / 3);
      paint();
    }
    const link = cards.get(id)?.querySelector('a');
    link?.focus({ preventScroll: true });
    link?.scrollIntoView({ block: 'nearest' });
    return link !== undefined;
  }

  const tick = setInterval(() => { // for those that count down
    for (const [id, element] of cards) {
      const asset = peek(id);
      if (asset?.status === 'processing') element.tick(asset);
    }
  }, 1000);

  list.addEventListener('change', repaint);
  list.addEventListener('update', update);
  element.addEventListener('keydown', move);
  addEventListener('scroll', repaint, { passive: true });
  resized.observe(element);
  return {
    element,
    focus,
    /** The id of the photo that has the focus, or undefined. */
    focused: () => (element.contains(document.activeElement) ? document.activeElement.closest('li')?.dataset.id : undefined),
    /** Lays out at once, as a scroll position that is restored needs its height. */
    settle() {
      measure();
      paint();
    },
    close() {
      clearInterval(tick);
      cancelAnimationFrame(frame);
      resized.disconnect();
      list.removeEventListener('change', repaint);
      list.removeEventListener('update', update);
      removeEventListener('scroll', repaint);
    },
  };
}
