// Statuses in words, icons and colours; what an asset is called; which picture stands for it.
import { h, set, setText } from './dom.js';
import { icon } from './icons.js';
import { duration, t } from './i18n.js';

const looks = {
  draft: ['waiting', 'busy'],
  queued: ['waiting', 'busy'],
  processing: ['working', 'busy'],
  retrying: ['clock', 'warn'],
  active: ['ready', 'good'],
  partial: ['partial', 'warn'],
  failed: ['failed', 'bad'],
  archived: ['archive', ''],
};

/** What there is to say of an asset's state: {name, text}, with what is known of an analysis under way. */
export function stateOf(asset, progress, now = Date.now()) {
  if (asset.status !== 'processing' || !progress) return { name: asset.status, text: t(`status.${asset.status}`) };
  if (progress.status === 'queued') return { name: 'queued', text: t('status.queued') };
  const values = { attempt: progress.attempt, of: progress.maxAttempts };
  if (progress.status === 'retrying') {
    const left = Date.parse(progress.retryAt) - now;
    if (left > 0) return { name: 'retrying', text: t('status.retrying', { ...values, attempt: progress.attempt + 1, time: duration(Math.ceil(left / 1000) * 1000) }) };
  }
  return { name: 'processing', text: progress.attempt > 1 ? t('status.attempt', values) : t('status.processing') };
}

/** A status that can be shown anew: status.show(state). */
export function statusElement({ pill = false } = {}) {
  const word = h('span', {});
  const element = h('span', { class: 'status' }, word);
  let shown = '';
  element.show = ({ name, text }) => {
    setText(word, text);
    if (name === shown) return;
    shown = name;
    const [iconName, tone] = looks[name] ?? looks.processing;
    set(element, 'class', `status ${tone}${pill ? ' pill' : ''}`);
    element.firstChild.tagName === 'svg' && element.firstChild.remove();
    element.prepend(icon(iconName));
  };
  return element;
}

/** The icon of a status. */
export const statusIcon = (name, props) => icon(looks[name][0], props);

/** A category in words: those of ours are translated, others are called as they are. */
export function categoryName(category) {
  const text = t(`category.${category}`);
  return text.startsWith('category.') ? category.charAt(0).toUpperCase() + category.slice(1) : text;
}

/** What counts of one field: the owner's value before the AI's. */
export function valueOf(asset, name) {
  return asset.details?.[name] || asset.aiMetadata?.[name]?.value || '';
}

/** What an asset is called: brand and model, or its colours, or its category. */
export function nameOf(asset) {
  const name = [valueOf(asset, 'brand'), valueOf(asset, 'model')].filter(Boolean).join(' ');
  return name || valueOf(asset, 'colorway') || categoryName(asset.category);
}

/** High, medium or low: what a confidence means. */
export function confidenceName(confidence) {
  if (confidence >= 0.8) return 'high';
  return confidence >= 0.5 ? 'medium' : 'low';
}

const PREVIEW = 640; // pixels of a small copy of one of the server's own pictures
const OURS = /^\/images\/[0-9a-f]{32}(\.processed)?\.(jpg|png|webp|gif)$/;

/**
 * The address of a picture, or of a copy that is not much wider than width pixels where its store makes such. The server
 * names its own pictures by its public address; here they come from wherever this page does.
 */
export function pictureURL(address, width) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return '';
  }
  if (OURS.test(url.pathname)) return width <= PREVIEW ? `${url.pathname}?preview` : url.pathname;
  if (width && /(^|\.|-)res\.cloudinary\.com$/.test(url.hostname)) {
    return address.replace('/image/upload/', `/image/upload/c_limit,w_${width},f_auto,q_auto/`);
  }
  return url.href;
}
