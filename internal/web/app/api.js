// Calls of the HTTP API, and its errors.
import { session, renew } from './session.js';
import { has, t } from './i18n.js';

/** What went wrong: code of the contract, or OFFLINE; message in the user's words; what the log knows it by. */
export class ApiError extends Error {
  constructor({ status = 0, code = 'OFFLINE', message = '', requestId = '', details = [], retryAfter = 0 } = {}) {
    const plain = has(`error.${code}`) ? t(`error.${code}`) : message;
    super(details.length > 0 ? `${message}: ${details.map((d) => d.message).join('; ')}` : plain);
    Object.assign(this, { status, code, requestId, details, retryAfter });
  }

  /** Whether the same call may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** The error of an answer: its body, as text, need not be ours. */
export function errorOf(status, body, header) {
  let error = {};
  try {
    error = JSON.parse(body).error ?? {};
  } catch {
    // A proxy's page, say.
  }
  return new ApiError({
    status, code: `HTTP_${status}`, message: t('error.status', { status: String(status) }), ...error,
    requestId: error.requestId ?? header('X-Request-Id') ?? '',
    retryAfter: Number(header('Retry-After') ?? 0) * 1000,
  });
}

/**
 * call('PATCH', '/api/assets/…', {status: 'archived'}) resolves to the answer's JSON, null if it has none. A session
 * that has ended is renewed once, where that goes without the user.
 * @throws {ApiError} or, when signal aborts, its reason
 */
export async function call(method, path, body, { signal, keepalive, again = true } = {}) {
  const token = session.token;
  const headers = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers['content-type'] = 'application/json';
  let answer;
  let text;
  try {
    answer = await fetch(path, { method, headers, signal, keepalive, body: body === undefined ? undefined : JSON.stringify(body) });
    text = await answer.text();
  } catch {
    signal?.throwIfAborted();
    throw new ApiError();
  }
  if (answer.status === 401 && again && (session.token !== token || await renew())) {
    return call(method, path, body, { signal, keepalive, again: false });
  }
  if (!answer.ok) throw errorOf(answer.status, text, (name) => answer.headers.get(name));
  return text === '' ? null : JSON.parse(text);
}

/** get('/api/assets', {limit: 20, status: undefined}): members without a value are left out. */
export function get(path, query = {}, options) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return call('GET', given.length > 0 ? `${path}?${new URLSearchParams(given)}` : path, undefined, options);
}
