// Deleting with a way back: the photo goes out of sight at once, and is deleted when the time to say no is over.
import { hide, remove, restore } from './assets.js';
import { t } from './i18n.js';
import { fault, toast } from './toast.js';

const pending = new Set();

/** Deletes an asset unless the user takes it back; then undone is called. */
export function deleteLater(id, undone = () => {}) {
  pending.add(id);
  hide(id);
  toast(t('delete.done'), {
    action: { label: t('delete.undo'), icon: 'undo', run: () => {
      pending.delete(id);
      restore(id);
      undone();
    } },
    done: () => finish(id),
  });
}

async function finish(id, options) {
  if (!pending.delete(id)) return;
  try {
    await remove(id, options);
  } catch (error) {
    restore(id);
    fault(t('delete.failed'), error);
  }
}

// Who leaves has not said no.
addEventListener('pagehide', () => {
  for (const id of pending) finish(id, { keepalive: true });
});
