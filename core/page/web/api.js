// Asking the server. What goes wrong is a `Problem`: one sentence, and the places that it is about. What must not live here: what is
// told to people.
export class Problem extends Error {
  constructor(status, told) {
    super(told?.detail ?? '');
    this.status = status;
    this.told = told ?? {};
  }
}

let signedOut = () => {};

/** Who hears that there is no session any more; a promise of one. */
export function onSignedOut(hear) {
  signedOut = hear;
}

export async function ask(method, path, { body, revision, headers, patient = true } = {}) {
  const sent = { ...headers };
  if (body !== undefined && !(body instanceof Blob)) sent['content-type'] = 'application/json';
  if (revision !== undefined) sent['if-match'] = `"${revision}"`;
  let answer;
  try {
    answer = await fetch(path, { method, headers: sent, body: body === undefined || body instanceof Blob ? body : JSON.stringify(body) });
  } catch {
    throw new Problem(0);
  }
  if (answer.status === 401 && patient) {
    await signedOut();
    return ask(method, path, { body, revision, headers, patient: false });
  }
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({ detail: `${answer.status}` })));
  return answer;
}

export const get = async (path, options) => (await ask('GET', path, options)).json();

export async function act(method, path, options) {
  const answer = await ask(method, path, options);
  return answer.status === 204 ? null : answer.json();
}

export const of = (name, rest = '') => `/api/v1/plugins/${encodeURIComponent(name)}${rest}`;

/** Sends a file, and tells how far it is in per cent: `fetch` cannot. A session that has ended meanwhile begins anew, and so does the sending. */
export async function upload(path, file, type, told) {
  const sent = await send(path, file, type, told);
  if (sent.status !== 401) return sent.taken();
  await signedOut();
  return (await send(path, file, type, told)).taken();
}

function send(path, file, type, told) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', path);
    request.setRequestHeader('content-type', type);
    request.upload.onprogress = ({ loaded, total }) => told(total ? Math.round((loaded / total) * 100) : 0);
    request.onerror = () => reject(new Problem(0));
    request.onload = () => {
      const { status, responseText } = request;
      const taken = () => {
        if (status < 200 || status >= 300) throw new Problem(status, parsed(responseText));
        return parsed(responseText);
      };
      resolve({ status, taken });
    };
    request.send(file);
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
