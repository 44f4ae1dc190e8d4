// Pages of others, in a browser that is signed in: of another site, of another port of the same host, and of a name that leads to this
// server. None of them gets at the page, or has anything done. Run by scripts/browser-tests.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { hello } from './plugins.mjs';
import { launch, signIn, Site, visitor } from './site.mjs';

let site;
let browser;
let admin;
/** Serves what others would. */
let evil;
let port;

/** All that a page can try against another one, and what came of it. */
const TRIES = `
const page = new URLSearchParams(location.search).get('page');
const act = page + '/api/v1/plugins/hello/disable';
const came = async (work) => { try { return await work(); } catch (error) { return 'refused'; } };
const tag = (name, attribute, value) => new Promise((resolve) => {
  const element = Object.assign(document.createElement(name), { onload: () => resolve('loaded'), onerror: () => resolve('refused') });
  element[attribute] = value;
  document.body.append(element);
  setTimeout(() => resolve('silent'), 5000);
});
globalThis.tries = async () => ({
  read: await came(() => fetch(page + '/api/v1/plugins', { credentials: 'include' }).then((answer) => answer.text())),
  post: await came(() => fetch(act, { method: 'POST', credentials: 'include', headers: { 'content-type': 'application/json' }, body: '{}' }).then(({ status }) => status)),
  simple: await came(() => fetch(act, { method: 'POST', credentials: 'include', mode: 'no-cors', body: '{}' }).then(({ type }) => type)),
  signs: await came(() => fetch(page + '/session', { method: 'POST', credentials: 'include', mode: 'no-cors', body: '{"token":"x"}' }).then(({ type }) => type)),
  script: await tag('script', 'src', page + '/api/v1/plugins'),
  image: await tag('img', 'src', page + '/api/v1/whoami'),
  events: await new Promise((resolve) => { const source = new EventSource(page + '/api/v1/overview/events', { withCredentials: true }); source.onmessage = () => resolve('heard'); source.onerror = () => { source.close(); resolve('refused'); }; }),
});
globalThis.frame = () => { const frame = document.createElement('iframe'); frame.src = page + '/'; document.body.append(frame); };
globalThis.form = () => { const form = Object.assign(document.createElement('form'), { method: 'POST', action: act, enctype: 'text/plain' }); document.body.append(form); form.submit(); };
globalThis.opens = async () => { const other = open(page + '/'); await new Promise((resolve) => setTimeout(resolve, 2000)); return !other || other.closed; };
`;

before(async () => {
  site = new Site();
  site.write('plugins/hello.rs', hello('hello'));
  evil = createServer((request, response) => {
    response.setHeader('content-type', request.url.startsWith('/tries.js') ? 'text/javascript' : 'text/html');
    response.end(request.url.startsWith('/tries.js') ? TRIES : '<!doctype html><title>elsewhere</title><body><script src="/tries.js"></script>');
  });
  await new Promise((resolve) => evil.listen(0, '127.0.0.1', resolve));
  port = evil.address().port;
  // A name of others that leads to this machine, as an attacker's would; and a browser that does not stand in for the server's own checks.
  const flags = ['--host-resolver-rules=MAP evil.test 127.0.0.1', '--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests'];
  [browser] = await Promise.all([launch(flags), site.start()]);
  assert.ok((await site.until('hello', (plugin) => plugin.serving || plugin.failed)).serving);
  admin = await visitor(browser);
  await signIn(admin, site, site.token);
}, { timeout: 400_000 });

after(async () => {
  await browser?.close();
  evil?.close();
  await site?.end();
});

afterEach((context) => context.passed === false && context.diagnostic(JSON.stringify(admin?.wrong)));

const served = async () => assert.ok((await site.api('GET', '/api/v1/plugins/hello')).enabled, 'somebody disabled it');

for (const [who, origin] of [['another site', () => `http://evil.test:${port}`], ['another port of the same host', () => `http://127.0.0.1:${port}`]]) {
  test(`a page of ${who} reads nothing, has nothing done, and holds the page in no frame`, async () => {
    const page = await admin.context().newPage();
    const begin = () => page.goto(`${origin()}/?page=${encodeURIComponent(site.page)}`);
    await begin();
    const told = await page.evaluate(() => globalThis.tries());
    const { read, post, script, image, events } = told;
    assert.deepEqual({ read, post, script, image, events }, { read: 'refused', post: 'refused', script: 'refused', image: 'refused', events: 'refused' });
    await served();
    await page.evaluate(() => globalThis.frame());
    await page.waitForFunction(() => document.querySelector('iframe') !== null);
    await page.waitForTimeout(1500);
    const inside = page.frames().filter((frame) => frame !== page.mainFrame());
    for (const frame of inside) assert.ok(!frame.url().startsWith(site.page), frame.url());
    assert.ok(await page.evaluate(() => globalThis.opens()), 'a window of the page is in the hands of others');
    for (const other of admin.context().pages()) if (other !== admin && other !== page) await other.close();
    await begin();
    await Promise.all([page.waitForURL(`${site.page}/api/v1/plugins/hello/disable`), page.evaluate(() => globalThis.form())]);
    await page.getByText('the page alone asks here').waitFor();
    await served();
    // Nor did the session change by that.
    assert.equal((await admin.evaluate(() => fetch('/api/v1/whoami').then(({ status }) => status))), 200);
    await page.close();
  });
}

test('a name of others that leads to this server is answered with nothing, and gets no session', async () => {
  const { port: own } = new URL(site.page);
  const page = await admin.context().newPage();
  const answer = await page.goto(`http://evil.test:${own}/`);
  assert.equal(answer.status(), 421);
  await page.getByText('this host is not one of the server').waitFor();
  // As if the name had led elsewhere until now: what was brought from there asks under the same name.
  await page.route(`http://evil.test:${own}/brought`, (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>rebound</title>' }));
  await page.goto(`http://evil.test:${own}/brought`);
  const told = await page.evaluate(async () => {
    const status = (path, options) => fetch(path, options).then((answer) => answer.status, String);
    return [await status('/api/v1/plugins'), await status('/session', { method: 'POST', body: '{}' }), await status('/api/v1/plugins/hello/disable', { method: 'POST', body: '{}' })];
  });
  assert.deepEqual(told, [421, 421, 421]);
  // Nor is the visitor of such a name taken for somebody of this machine, on the plugins' listener.
  await page.goto(`http://evil.test:${new URL(site.url).port}/plugins/hello`);
  assert.ok(!(await page.locator('body').textContent()).includes(site.root), 'a place on the machine is told');
  await page.close();
  await served();
});
