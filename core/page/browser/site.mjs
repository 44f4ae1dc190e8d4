// A server of its own in a folder of its own, with a browser that looks at it. What must not live here: what is tried.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const tools = createRequire(`${resolve(process.env.CAMLOCK_BROWSER_TOOLS)}/`);
const { chromium } = tools('playwright-core');
const axe = readFileSync(tools.resolve('axe-core/axe.min.js'), 'utf8');
const program = resolve(process.env.CAMLOCK_PROGRAM);
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
export const SCREENS = resolve(process.env.CAMLOCK_SCREENS ?? 'target/screens');

export class Site {
  /** `more`: lines of its configuration. */
  constructor(more = '') {
    this.root = mkdtempSync(join(tmpdir(), 'camlock-page-'));
    mkdirSync(join(this.root, 'plugins'));
    this.builds = resolve(process.env.CAMLOCK_BUILDS ?? join(this.root, 'builds'));
    writeFileSync(join(this.root, 'camlock.toml'), `build.dir = "${this.builds}"\nbuild.profile = "quick"\n${more}`);
  }

  write(path, text) {
    const whole = join(this.root, path);
    mkdirSync(dirname(whole), { recursive: true });
    writeFileSync(whole, text);
    return whole;
  }

  /** Puts a plugin that ships with this repository into the plugins directory. */
  ship(name) {
    const from = fileURLToPath(new URL(`../../../plugins/${name}`, import.meta.url));
    cpSync(from, join(this.root, 'plugins', basename(name)), { recursive: true, filter: (path) => !['target', 'Cargo.lock'].includes(basename(path)) });
  }

  /** Starts the server; the second time, where the page was before. */
  async start(more = []) {
    const page = this.page ? ['--page', new URL(this.page).host] : [];
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    this.child = spawn(program, ['serve', '--listen', listen, ...page, ...more], { cwd: this.root, env: { ...process.env, CAMLOCK_DEBUGGABLE: '1' } });
    let said = '';
    this.child.stderr.on('data', (text) => (this.log = (this.log ?? '') + text));
    await new Promise((resolve, reject) => {
      this.child.stdout.on('data', (text) => {
        said += text;
        if (/page at .*\n/.test(said) || (more.includes('off') && /listening/.test(said))) resolve();
      });
      this.child.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${said} ${this.log}`)));
    });
    this.url = /listening on (\S+),/.exec(said)[1];
    this.page = /page at (\S+)\/ /.exec(said)?.[1];
    this.token = readFileSync(join(this.root, '.camlock/admin-token'), 'utf8').trim();
  }

  async stop(signal = 'SIGTERM') {
    if (this.child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.child.on('exit', resolve));
    this.child.kill(signal);
    await ended;
  }

  async end() {
    await this.stop();
    rmSync(this.root, { recursive: true, force: true });
  }

  cli(...args) {
    const ran = spawnSync(program, args, { cwd: this.root, encoding: 'utf8' });
    if (ran.status !== 0) throw new Error(`camlock ${args.join(' ')}: ${ran.stdout}${ran.stderr}`);
    return ran.stdout.trim();
  }

  /** Asks the admin API on the plugins' listener. */
  async api(method, path, body, token = this.token) {
    const answer = await fetch(this.url + path, { method, headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) }, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  async until(name, fits) {
    for (let round = 0; round < 3000; round += 1) {
      const plugin = await this.api('GET', `/api/v1/plugins/${name}`).catch(() => null);
      if (plugin && fits(plugin)) return plugin;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`${name}: ${JSON.stringify(await this.api('GET', `/api/v1/plugins/${name}`).catch(String))}`);
  }
}

/** A request as no browser would send it. */
export function raw(url, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers }, (answer) => {
      let text = '';
      answer.on('data', (part) => (text += part));
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

/** `more`: further flags of its. */
export const launch = (more = []) => chromium.launch({
  executablePath: process.env.CAMLOCK_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', ...more],
});

/** While one works on the page: its files as they are in the folder that `CAMLOCK_WEB` names, in the place of those compiled in. */
async function ofFolder(route) {
  const path = new URL(route.request().url()).pathname.split('/').slice(2).join('/');
  const headers = { 'access-control-allow-origin': '*', 'cross-origin-resource-policy': 'cross-origin' };
  await route.fulfill({ path: join(process.env.CAMLOCK_WEB, path), contentType: path.endsWith('.css') ? 'text/css' : 'text/javascript', headers });
}

/** A browser of its own: nobody is signed in. Whatever goes wrong in a page is kept in `page.wrong`. */
export async function visitor(browser, options = {}) {
  const context = await browser.newContext({ colorScheme: 'light', viewport: { width: 1280, height: 860 }, reducedMotion: 'reduce', ...options });
  if (process.env.CAMLOCK_WEB) await context.route(/\/[0-9a-f]{16}\/[a-z/]+\.(js|css)$/, ofFolder);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.wrong = [];
  page.on('pageerror', (error) => page.wrong.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) page.wrong.push(message.text());
  });
  await page.exposeFunction('ran', () => page.wrong.push('a script of somebody else ran'));
  return page;
}

export async function signIn(page, site, token) {
  await page.goto(`${site.page}/`);
  await page.getByLabel('Token', { exact: true }).fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Plugins', level: 1 }).waitFor();
}

/** What axe finds wrong in a document, in words. By the debugger, which no policy binds. */
async function judged(session, tags) {
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await session.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  await evaluate(`${axe};0`);
  const found = await evaluate(`axe.run(document, { preload: false, runOnly: ${JSON.stringify(tags)} }).then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html, failureSummary }) => html.slice(0, 200) + ' ' + failureSummary).join(' | ')))`);
  await session.detach();
  return found;
}

/** What axe finds wrong on a page. */
export const faults = async (page) => judged(await page.context().newCDPSession(page), TAGS);

/** What axe finds wrong in the frame of a part: it has a process of its own, so what judges the page does not look there. */
export async function faultsInside(page, title) {
  const frame = await (await page.locator(`iframe[title="${title}"]:not(.coming)`).elementHandle()).contentFrame();
  // What a whole page has (a main region, say) is the page's around it.
  return judged(await page.context().newCDPSession(frame), TAGS.filter((tag) => tag !== 'best-practice'));
}

/** What stands in the frame of a plugin's part. */
export const framed = (page, title) => page.frameLocator(`iframe[title="${title}"]:not(.coming)`);

export async function picture(page, name) {
  mkdirSync(SCREENS, { recursive: true });
  await page.screenshot({ path: join(SCREENS, `${name}.png`) });
}

/** Goes to a view of a site's page, whose heading is there then. */
export async function goTo(page, site, hash, heading) {
  await page.goto(`${site.page}/${hash}`);
  if (heading) await page.getByRole('heading', { name: heading, level: 1 }).waitFor();
}

/** Nothing that a judge of accessibility finds, and no error that the browser told of. */
export async function fine(page, where) {
  assert.deepEqual(await faults(page), [], where);
  assert.deepEqual(page.wrong, [], where);
}

/** So many of them stand there, at the latest soon: what is done to a page shows in it a moment later. */
export async function exactly(locator, number, what = String(locator)) {
  for (let round = 0; round < 100 && await locator.count() !== number; round += 1) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(await locator.count(), number, what);
}

/** What stood there when something was not as it should be, for whoever reads the log. */
export async function leave(context, name, page) {
  if (context.passed !== false || !page) return;
  await picture(page, name);
  context.diagnostic(`${page.url()} showed: ${await page.locator('body').innerText()}`);
  context.diagnostic(`consoles and refusals: ${JSON.stringify(page.wrong)}`);
}
