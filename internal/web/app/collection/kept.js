// Files that wait to be uploaded, in this browser's IndexedDB. Where that is full or forbidden an upload goes on without:
// it only does not survive a reload.
const STORE = 'uploads';

let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open('loupe', 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'id' });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function inStore(mode, act) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE, mode);
    const request = act(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** Keeps {id, owner, name, file, category, at}, and says whether that went well. */
export async function keepFile(record) {
  try {
    await inStore('readwrite', (store) => store.put(record));
    return true;
  } catch {
    return false;
  }
}

/** Forgets a file. */
export async function forgetFile(id) {
  await inStore('readwrite', (store) => store.delete(id)).catch(() => {});
}

/** What is kept, oldest first. */
export async function keptFiles() {
  const records = await inStore('readonly', (store) => store.getAll()).catch(() => []);
  return records.sort((a, b) => a.at - b.at);
}
