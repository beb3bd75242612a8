// Addresses and views. A view's module exports open(main, {params, query}), which fills main and returns a function that
// ends it. Every link within the app is an ordinary link; the router takes the click.
import { h } from './dom.js';
import { icon } from './icons.js';
import { t } from './i18n.js';

let routes = [];
let main;
let close = () => {};
let current = 0; // the navigation that counts: a view that loads for too long finds another in its place

/** Starts with the routes, [{path: RegExp, load: () => view or its promise}], in an element, on the present address. */
export function start(given, element) {
  routes = given;
  main = element;
  history.scrollRestoration = 'manual';
  addEventListener('popstate', show);
  document.addEventListener('click', follow);
  return show();
}

/**
 * Goes to an address within the app. history.state is {from, scroll}: the path to which a step back leads, and where the page
 * was when it was left.
 */
export function go(address, { replace = false } = {}) {
  if (replace) {
    history.replaceState({ from: history.state?.from }, '', address);
  } else {
    history.replaceState({ ...history.state, scroll: scrollY }, '');
    history.pushState({ from: location.pathname }, '', address);
  }
  return show();
}

/** Ends the present view and opens it anew, as it is for somebody else, say. */
export function reopen() {
  return show();
}

function follow(click) {
  const link = click.target.closest?.('a[href]');
  const plain = click.button === 0 && !click.metaKey && !click.ctrlKey && !click.shiftKey && !click.altKey;
  if (!link || !plain || click.defaultPrevented || link.target || link.hasAttribute('download')) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !find(url.pathname) || url.hash) return;
  click.preventDefault();
  go(url.pathname + url.search);
}

function find(path) {
  for (const route of routes) {
    const match = route.path.exec(path);
    if (match) return { route, params: match.groups ?? {} };
  }
  return null;
}

async function show() {
  const mine = ++current;
  const found = find(location.pathname) ?? find('/');
  const { scroll } = history.state ?? {};
  let view;
  try {
    view = await found.route.load();
  } catch {
    view = { open: broken };
  }
  if (mine !== current) return;
  close();
  main.replaceChildren();
  main.className = '';
  close = view.open(main, { params: found.params, query: new URLSearchParams(location.search) }) ?? (() => {});
  scrollTo(0, scroll ?? 0);
  // After a navigation the focus is where the view has put it, or on its heading, so that it is heard.
  if (mine > 1 && !main.contains(document.activeElement)) (main.querySelector('h1') ?? main).focus({ preventScroll: true });
  dispatchEvent(new Event('loupe:view'));
}

/** A view whose modules could not be loaded. */
function broken(main) {
  main.append(h('div', { class: 'empty', role: 'alert' }, icon('offline'), h('h1', { tabindex: -1 }, t('view.broken')),
    h('button', { class: 'button', type: 'button', onclick: () => location.reload() }, icon('retry'), t('collection.again'))));
}

/** Names the page. */
export function title(text) {
  document.title = `${text} · ${t('app.name')}`;
}
