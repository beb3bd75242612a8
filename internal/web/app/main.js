// The frame of the app: header, banners, sign-in, help; and the views in between.
import { h, set, setText } from './dom.js';
import { icon } from './icons.js';
import { clock, has, language, languages, t } from './i18n.js';
import * as keys from './keys.js';
import { live, reconnect, start as connect, stop as disconnect } from './live.js';
import { go, reopen, start as route } from './router.js';
import { session, start as signIn, use, end as signOut, endsSoon } from './session.js';
import { choice, choose, server } from './settings.js';
import { act, announce } from './toast.js';
import { clear } from './assets.js';
import * as asset from './asset/view.js';
import * as collection from './collection/view.js';
import { resume } from './collection/uploads.js';

// Views that everybody needs come with the frame, so that they are there without a connection; others when they are seen.
const routes = [
  { path: /^\/$/, load: () => collection },
  { path: /^\/assets\/(?<id>[0-9a-f]{24})$/, load: () => asset },
  { path: /^\/console$/, load: () => import('./console/view.js') },
];

const sections = [{ path: '/', label: 'nav.photos' }, { path: '/console', label: 'nav.console', admin: true }];

const signedIn = await signIn();
let begun = session.user; // whose things are seen
let awayTimer;
paint(choice('theme', ''));

const links = sections.map(({ path, label, admin }) => h('a', { href: path, data: { admin: admin ? 'yes' : 'no' } }, t(label)));
const connection = h('span', { class: 'connection', data: { state: live.state } }, h('span', { class: 'word' }));
const awayBanner = h('div', { class: 'banner', role: 'status', hidden: true });
const serviceBanner = h('div', { class: 'banner', role: 'status', hidden: true });
const endBanner = h('div', { class: 'banner', role: 'status', hidden: true });
const main = h('main', { id: 'main', tabindex: -1 });

document.body.prepend(
  h('a', { class: 'button primary skip', href: '#main', onclick: (event) => { event.preventDefault(); main.focus(); } }, t('nav.skip')),
  h('header', { class: 'header' },
    h('a', { class: 'brand', href: '/' }, h('img', { src: '/app/icon.svg', alt: '', width: 26, height: 26 }), t('app.name')),
    h('nav', { 'aria-label': t('nav.label') }, links),
    h('span', { class: 'push' }),
    connection,
    h('button', { class: 'button quiet square', type: 'button', 'aria-label': t('menu.label'), popovertarget: 'menu' }, icon('menu'))),
  awayBanner, serviceBanner, endBanner, main);
document.body.append(menu());

showConnection();
live.addEventListener('change', showConnection);
addEventListener('loupe:view', showPlace);
keys.bind([
  { key: '?', label: 'key.help', run: help },
  { key: 'z', label: 'key.undo', run: act },
]);

addEventListener('hashchange', () => { // a token that is handed over to the open page
  if (location.hash.startsWith('#token=')) location.reload();
});

session.addEventListener('ended', askForToken);
session.addEventListener('ending', tellEnding);
session.addEventListener('change', showUser);
showUser();
if (signedIn) begin();
else askForToken();

function begin() {
  connect();
  route(routes, main);
  resume();
  if (endsSoon()) tellEnding();
}

/** What is seen belongs to the user who is signed in, and to nobody else. */
function showUser() {
  endBanner.hidden = true;
  for (const link of links) link.hidden = link.dataset.admin === 'yes' && !session.admin;
  const name = document.querySelector('#user');
  if (name) setText(name, session.user);
}

function showPlace() {
  for (const link of links) {
    const here = link.pathname === location.pathname || (link.pathname === '/' && location.pathname.startsWith('/assets/'));
    set(link, 'aria-current', here && (link.pathname === location.pathname ? 'page' : 'true'));
  }
}

/** A loss that mends itself within a moment is not worth a banner. */
function showConnection() {
  connection.dataset.state = live.state;
  setText(connection.firstChild, t(`live.${live.state}`));
  clearTimeout(awayTimer);
  if (live.state === 'away') {
    awayTimer = setTimeout(() => {
      awayBanner.replaceChildren(icon('offline'), h('span', {}, t('live.banner')),
        h('button', { class: 'button small', type: 'button', onclick: reconnect }, t('live.reconnect')));
      awayBanner.hidden = false;
    }, 1_500);
  } else if (!awayBanner.hidden) {
    awayBanner.hidden = true;
    announce(t('live.back'));
  }
  if (live.serviceAway) {
    serviceBanner.replaceChildren(icon('clock'), h('span', {}, t('live.serviceAway', { time: clock(live.serviceAway) })));
  } else if (!serviceBanner.hidden && live.state === 'live') {
    announce(t('live.serviceBack'));
  }
  serviceBanner.hidden = !live.serviceAway;
}

function tellEnding() {
  endBanner.replaceChildren(icon('clock'), h('span', {}, t('session.ending', { time: clock(session.expires) })),
    h('button', { class: 'button small', type: 'button', onclick: askForToken }, t('session.again')));
  endBanner.hidden = false;
}

/** Asks for a token over what is there: nothing that is under way is lost. */
function askForToken() {
  if (document.querySelector('#sign-in')) return;
  const input = h('input', { class: 'input mono', id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true, 'aria-describedby': 'token-help token-wrong' });
  const wrong = h('p', { class: 'wrong', id: 'token-wrong', role: 'alert' });
  const form = h('form', { method: 'dialog', class: 'stack', novalidate: true, onsubmit: (event) => {
    event.preventDefault();
    const before = begun;
    if (!use(input.value.trim())) {
      setText(wrong, t('session.wrong'));
      set(input, 'aria-invalid', 'true');
      input.select();
      return;
    }
    dialog.close();
    dialog.remove();
    if (session.user !== before) clear();
    const again = main.childElementCount > 0;
    begun = session.user;
    if (again) {
      connect();
      reopen();
      resume();
    } else {
      begin();
    }
  } },
    h('div', { id: 'token-help' }, h('p', { class: 'dim' }, t('session.help')), h('pre', { class: 'command' }, 'loupe token --user you')),
    h('div', { class: 'field' }, h('label', { for: 'token' }, t('session.token')), input, wrong),
    h('div', { class: 'actions' },
      session.token && h('button', { class: 'button', type: 'button', onclick: () => { dialog.close(); dialog.remove(); } }, t('session.later')),
      h('button', { class: 'button primary' }, t('session.in'))));
  const dialog = h('dialog', { id: 'sign-in', 'aria-labelledby': 'sign-in-title', onclose: () => dialog.isConnected && !session.token && dialog.showModal() },
    h('img', { src: '/app/icon.svg', alt: '', width: 40, height: 40 }), h('h2', { id: 'sign-in-title' }, t('session.title')), form);
  document.body.append(dialog);
  dialog.showModal();
  if (!session.token) disconnect();
}

function menu() {
  const pick = (label, id, values, present, change) => h('div', { class: 'menu-row' },
    h('label', { class: 'label', for: id }, label),
    h('select', { class: 'input', id, onchange: (event) => change(event.target.value) },
      Object.entries(values).map(([value, text]) => h('option', { value, selected: value === present }, text))));
  const close = (then) => () => { document.querySelector('#menu').hidePopover(); then(); };
  return h('div', { class: 'menu', id: 'menu', popover: 'auto', role: 'dialog', 'aria-label': t('menu.label') },
    h('div', { class: 'menu-row' }, icon('user'), h('span', { class: 'cut push', id: 'user' }, session.user)),
    h('hr', {}),
    pick(t('menu.theme'), 'theme', { '': t('theme.system'), light: t('theme.light'), dark: t('theme.dark') }, choice('theme', ''), (theme) => {
      choose('theme', theme || null);
      paint(theme);
    }),
    pick(t('menu.language'), 'language', languages, language, (tag) => {
      choose('language', tag);
      location.reload();
    }),
    h('hr', {}),
    h('button', { class: 'button quiet', type: 'button', onclick: close(help) }, icon('help'), t('help.title')),
    !server.local && h('button', { class: 'button quiet', type: 'button', onclick: close(() => { signOut(); clear(); go('/'); }) }, icon('forward'), t('session.out')));
}

function paint(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

function help() {
  const letters = h('input', { type: 'checkbox', id: 'letters', checked: keys.lettersOn(), onchange: (event) => keys.switchLetters(event.target.checked) });
  const dialog = h('dialog', { 'aria-labelledby': 'help-title', onclose: () => dialog.remove() },
    h('h2', { id: 'help-title' }, t('help.title')),
    h('table', { class: 'table' }, h('tbody', {}, keys.list().map(({ label, key }) => h('tr', {}, h('td', {}, t(label)), h('td', { class: 'number' }, h('kbd', {}, key.length === 1 ? key.toUpperCase() : has(`keyname.${key}`) ? t(`keyname.${key}`) : key)))))),
    h('div', { class: 'row' }, letters, h('label', { for: 'letters' }, t('help.letters'))),
    h('form', { method: 'dialog', class: 'actions' }, h('button', { class: 'button primary' }, t('help.close'))));
  document.body.append(dialog);
  dialog.showModal();
}
