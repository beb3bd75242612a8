// An AI service that answers as a scenario tells it to.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';

const WHOLE = {
  brand: { value: 'Nike', confidence: 0.95 },
  model: { value: 'Air Jordan 1', confidence: 0.68 },
  colorway: { value: 'Chicago', confidence: 0.41 },
};

/**
 * behave(category, ...answers) tells what it says of photos of a category, one after the other; the last is repeated. An
 * answer is a function of the question that returns {status, body}, at once or later; {status, body}; or a body alone.
 * Without a script it knows every field. setAway(true) has it answer 503 to everything. serve(name, file) has it serve a picture at /name.
 */
export async function startAI() {
  const script = new Map();
  const pictures = new Map();
  let away = false;

  const server = createServer(async (request, response) => {
    const picture = pictures.get(request.url);
    if (request.method === 'GET' && picture) {
      response.writeHead(200, { 'content-type': picture.endsWith('png') ? 'image/png' : 'image/jpeg' }).end(await readFile(picture));
      return;
    }
    let text = '';
    for await (const part of request) text += part;
    if (away) {
      response.writeHead(503).end();
      return;
    }
    if (request.url !== '/analyze') {
      response.end('{"status":"ok"}');
      return;
    }
    const question = JSON.parse(text);
    const answers = script.get(question.category) ?? [WHOLE];
    let answer = answers.length > 1 ? answers.shift() : answers[0];
    if (typeof answer === 'function') answer = await answer(question);
    const { status = 200, body = answer } = answer;
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    whole: WHOLE,
    behave: (category, ...answers) => script.set(category, answers),
    serve: (name, file) => { pictures.set(`/${name}`, file); return `${url}/${name}`; },
    setAway: (is) => { away = is; },
    reset: () => { script.clear(); away = false; },
  };
}

/** An answer that waits: {answer, release(body)}; asked resolves when the question has come. */
export function held() {
  let release;
  let come;
  const until = new Promise((resolve) => { release = resolve; });
  const asked = new Promise((resolve) => { come = resolve; });
  return { answer: () => { come(); return until; }, release, asked };
}
