// Installing what is sent, what the doctor finds, and sessions that end in the middle of an act, in a real browser on a real server. Run by
// scripts/browser-tests.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { HOSTILE } from './corpus.mjs';
import { chatty, hello, sources } from './plugins.mjs';
import { exactly, fine, goTo, launch, leave, picture, raw, signIn, Site, visitor } from './site.mjs';

let site;
let browser;
let admin;
/** A library that was built and lies outside of the plugins directory. */
let library;

before(async () => {
  site = new Site();
  site.write('plugins/sent.rs', hello('what was sent'));
  [browser] = await Promise.all([launch(), site.start()]);
  const { serving, failed } = await site.until('sent', (plugin) => plugin.serving || plugin.failed);
  assert.ok(serving, JSON.stringify(failed));
  library = site.write('elsewhere/sent.so', '');
  copyFileSync(join(site.root, '.camlock/artifacts', `${serving.artifact.replace('sha256:', '')}.so`), library);
  site.cli('remove', 'sent');
  admin = await visitor(browser);
  await signIn(admin, site, site.token);
}, { timeout: 400_000 });

after(async () => {
  await browser?.close();
  await site?.end();
});

afterEach((context) => leave(context, 'failed-acts', admin));

const go = (page, hash, heading) => goTo(page, site, hash, heading);

/** Sends no more than so many bytes in a second. */
async function slowed(page, bytes) {
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  await session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: bytes });
  return () => session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 }).then(() => session.detach());
}

/** All that a place says, from now on until it is looked at again. */
const watched = (page) => page.evaluate(() => {
  const said = globalThis.said = new Set();
  const look = () => { for (const { textContent } of document.querySelectorAll('main p')) said.add(textContent); };
  new MutationObserver(look).observe(document.getElementById('app'), { subtree: true, childList: true, characterData: true });
});
const said = (page) => page.evaluate(() => [...globalThis.said]);

const file = (page) => page.getByLabel('Library (.so) or archive of sources (.tar.gz, .zip)');
const install = (page) => page.getByRole('button', { name: 'Install', exact: true }).click();
const archive = (name, options) => {
  sources(site, `elsewhere/${name}`, options);
  const packed = join(site.root, `elsewhere/${name}.tar.gz`);
  const ran = spawnSync('tar', ['-czf', packed, '-C', join(site.root, 'elsewhere'), name], { encoding: 'utf8' });
  assert.equal(ran.status, 0, ran.stderr);
  return packed;
};

test('a library is sent, in per cent, and serves', async () => {
  await go(admin, '#/install', 'Install a plugin');
  await install(admin);
  await admin.getByRole('alert').getByText('Choose a file or name a path.').waitFor();
  await file(admin).setInputFiles(library);
  await watched(admin);
  const full = await slowed(admin, Math.ceil(statSync(library).size / 4));
  await install(admin);
  await admin.getByText(/^[1-9]\d? % sent$/).first().waitFor();
  await fine(admin, 'a library that is sent');
  await picture(admin, 'install-sent');
  await admin.getByRole('heading', { name: 'sent', level: 1 }).waitFor({ timeout: 60_000 });
  await full();
  const steps = (await said(admin)).filter((text) => /% sent$/.test(text)).length;
  assert.ok(steps >= 3, `${steps} steps were told`);
  await site.until('sent', (plugin) => plugin.serving && !plugin.candidate);
  await admin.getByRole('heading', { name: 'Serving', level: 2 }).waitFor();
  const tried = await site.api('POST', '/api/v1/plugins/sent/try', { method: 'GET', path: '/api/v1/p/sent/hello', headers: {}, body: '' });
  assert.equal(tried.body, 'what was sent');
  // A second one of that name takes its place only if that is meant.
  await go(admin, '#/install', 'Install a plugin');
  await file(admin).setInputFiles(library);
  await install(admin);
  await admin.getByRole('alert').getByText('sent').waitFor();
  await fine(admin, 'a library of a plugin that is there');
  await admin.getByLabel('Take the place of a plugin of that name').check();
  await install(admin);
  await admin.getByRole('heading', { name: 'sent', level: 1 }).waitFor();
});

test('sources are sent, each stage shows as it comes, and what does not compile says why', async () => {
  await go(admin, '#/install', 'Install a plugin');
  await file(admin).setInputFiles(archive('packed', { says: 'of an archive' }));
  await watched(admin);
  await install(admin);
  await admin.getByRole('heading', { name: 'packed', level: 1 }).waitFor();
  await admin.getByRole('heading', { name: 'On its way' }).waitFor();
  await admin.getByText(/^generation \d+: building/).waitFor();
  await fine(admin, 'sources that are compiled');
  await picture(admin, 'install-stages');
  await site.until('packed', (plugin) => plugin.serving && !plugin.candidate);
  await admin.getByRole('heading', { name: 'Serving', level: 2 }).waitFor();
  const stages = new Set((await said(admin)).flatMap((text) => /^generation \d+: (\w+)/.exec(text)?.[1] ?? []));
  assert.ok(stages.has('building') && stages.size >= 2, [...stages].join());
  await go(admin, '#/install', 'Install a plugin');
  await file(admin).setInputFiles(archive('torn', { says: HOSTILE[0], broken: true }));
  await install(admin);
  await admin.getByRole('heading', { name: 'torn', level: 1 }).waitFor();
  await admin.getByRole('heading', { name: 'What the compiler said' }).waitFor({ timeout: 120_000 });
  await admin.locator('.diagnostic pre').first().getByText('mismatched types').waitFor();
  await admin.locator('.diagnostic summary code').first().getByText(/src\/lib\.rs:\d+/).waitFor();
  await fine(admin, 'sources that do not compile');
});

test('what is sent and cannot be used is refused in words, and nothing comes of it', async () => {
  const before = (await site.api('GET', '/api/v1/plugins')).items.length;
  for (const [name, text, why] of [
    ['note.so', 'no library', /ELF|library/i],
    ['note.tar.gz', 'no archive', /archive|gzip/i],
    ['note.zip', HOSTILE[0], /archive|zip/i],
    ['<img src=x onerror=ran()>.so', HOSTILE.join('\n'), /ELF|library/i],
  ]) {
    await go(admin, '#/', 'Plugins');
    await go(admin, '#/install', 'Install a plugin');
    await file(admin).setInputFiles({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(text) });
    await install(admin);
    await admin.getByRole('alert').filter({ hasText: why }).waitFor();
  }
  await fine(admin, 'what is refused');
  assert.equal((await site.api('GET', '/api/v1/plugins')).items.length, before);
});

test('a session that ends while a file is sent: it is sent after all, and what was chosen is still chosen', async () => {
  site.cli('remove', 'sent');
  const page = await visitor(browser);
  await signIn(page, site, site.token);
  await go(page, '#/install', 'Install a plugin');
  await file(page).setInputFiles(library);
  await page.getByLabel('Grant whatever it asks for').check();
  await page.context().clearCookies();
  await install(page);
  await page.getByRole('heading', { name: 'Your session has ended' }).waitFor();
  await fine(page, 'a session that ended');
  assert.ok(await page.getByLabel('Grant whatever it asks for').isChecked());
  await page.getByLabel('Token', { exact: true }).fill(site.token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'sent', level: 1 }).waitFor();
  await site.until('sent', (plugin) => plugin.serving && !plugin.candidate);
  await page.context().close();
});

test('what was typed anywhere is there when a session begins anew, and is done then', async () => {
  const page = await visitor(browser);
  await signIn(page, site, site.token);
  const again = async () => {
    await page.getByRole('heading', { name: 'Your session has ended' }).waitFor();
    await page.getByLabel('Token', { exact: true }).fill(site.token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Your session has ended' }).waitFor({ state: 'detached' });
  };
  await go(page, '#/tokens', 'Tokens');
  await page.getByLabel('Name').fill('typed-before');
  await page.getByLabel('Role').selectOption('operator');
  await page.context().clearCookies();
  await page.getByRole('button', { name: 'Make' }).click();
  await again();
  await page.getByRole('dialog').getByText('The secret of typed-before').waitFor();
  await page.getByRole('button', { name: 'Close' }).click();
  assert.equal((await site.api('GET', '/api/v1/tokens')).items.find(({ name }) => name === 'typed-before').role, 'operator');
  await go(page, '#/plugins/sent/try', 'sent');
  await page.getByLabel('Path').fill('/api/v1/p/sent/hello');
  await page.context().clearCookies();
  await page.getByRole('button', { name: 'Send' }).click();
  await again();
  await page.locator('pre.answer').getByText('what was sent').waitFor();
  // In the middle of what is asked before an act: the question stays, with its answer.
  await go(page, '#/plugins/sent', 'sent');
  await page.getByRole('button', { name: 'Uninstall… sent' }).click();
  await page.getByLabel('Name of the plugin').fill('sent');
  await page.context().clearCookies();
  await page.getByRole('dialog').getByRole('button', { name: 'Uninstall' }).click();
  await again();
  await page.getByRole('heading', { name: 'Plugins', level: 1 }).waitFor();
  await page.getByText('sent was taken out.').waitFor();
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test('what the doctor finds: of the server for all, of its machine for operators, and others’ text stays text', async () => {
  sources(site, 'plugins/ailing', { says: HOSTILE[1], broken: true });
  await site.until('ailing', (plugin) => plugin.failed);
  site.write('plugins/ignored<b>/notes.txt', 'no plugin');
  await go(admin, '#/doctor', 'Doctor');
  const found = admin.getByRole('region', { name: 'Doctor' });
  const row = (about, text) => found.getByRole('row').filter({ has: admin.getByRole('rowheader', { name: about, exact: true }) }).filter({ hasText: text });
  await row('linker', 'a library was linked').waitFor();
  await row('plugins', 'ailing: generation').getByText('mend it and save').waitFor();
  await row('plugins', /ignored.*is ignored/).waitFor();
  for (const about of ['platform', 'cargo', 'compiler', 'settings', 'disk', 'isolation', 'registry', 'server']) await row(about, '').first().waitFor();
  await fine(admin, 'the doctor');
  for (const theme of ['dark', 'contrast']) {
    await admin.getByLabel('Colours').selectOption(theme);
    await fine(admin, `the doctor, ${theme}`);
    await picture(admin, `doctor-${theme}`);
  }
  await admin.getByLabel('Colours').selectOption('auto');
  // The words are those of the command line.
  const told = JSON.parse(spawnSync(resolve(process.env.CAMLOCK_PROGRAM), ['doctor', '--json', '--listen', '127.0.0.1:0'], { cwd: site.root, encoding: 'utf8' }).stdout).findings;
  const seen = (await site.api('GET', '/api/v1/doctor')).findings;
  const steady = (list) => list.filter(({ about }) => !['disk', 'address'].includes(about));
  assert.deepEqual(steady(seen), steady(told));
  site.cli('remove', 'ailing');
  const { token } = await site.api('POST', '/api/v1/tokens', { name: 'looker', role: 'viewer' });
  const viewer = await visitor(browser, { viewport: { width: 390, height: 800 } });
  await signIn(viewer, site, token);
  await go(viewer, '#/doctor', 'Doctor');
  await viewer.getByText('operators see its machine too').waitFor();
  await viewer.getByRole('row').filter({ hasText: 'one runs, with' }).waitFor();
  await exactly(viewer.getByRole('rowheader', { name: 'compiler' }), 0);
  assert.ok(!(await viewer.locator('main').innerText()).includes(site.root), 'a place on the machine is told');
  await fine(viewer, 'the doctor as viewer, on a phone');
  assert.ok(await viewer.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth), 'the doctor is too wide');
  await picture(viewer, 'phone-doctor');
  await viewer.context().close();
  await admin.getByRole('button', { name: 'Look again' }).click();
  await row('plugins', 'ailing: generation').waitFor({ state: 'detached' });
});

const say = (level, word) => raw(`${site.url}/api/v1/p/chatty/say/${level}/${encodeURIComponent(word)}`);

test('a log is followed as it grows, searched, narrowed, held still; and how much is said is chosen', async () => {
  site.write('plugins/chatty.rs', chatty);
  const { serving, failed } = await site.until('chatty', (plugin) => plugin.serving || plugin.failed);
  assert.ok(serving, JSON.stringify(failed));
  await go(admin, '#/plugins/chatty/logs', 'chatty');
  const lines = admin.getByRole('region', { name: 'Lines of the log' }).getByRole('listitem');
  const line = (text) => lines.filter({ hasText: text });
  await say('info', 'first word');
  await say('error', HOSTILE[1]);
  await line('first word').getByText('number=7').waitFor();
  await line(HOSTILE[1]).waitFor();
  await admin.getByLabel('Search in lines').fill('first');
  await line(HOSTILE[1]).waitFor({ state: 'detached' });
  await line('first word').waitFor();
  await admin.getByLabel('Search in lines').fill('');
  await admin.getByLabel('Show', { exact: true }).selectOption('error');
  await line('first word').waitFor({ state: 'detached' });
  await line(HOSTILE[1]).waitFor();
  await fine(admin, 'a log by level');
  await admin.getByLabel('Show', { exact: true }).selectOption('');
  await admin.getByRole('button', { name: 'Pause' }).click();
  await say('warn', 'while it is held');
  await say('warn', 'and more of it');
  await site.until('chatty', (plugin) => plugin.serving);
  await exactly(line('while it is held'), 0);
  await admin.getByRole('button', { name: 'Pause' }).click();
  await line('while it is held').waitFor();
  await line('and more of it').waitFor();
  await say('debug', 'nobody hears');
  await admin.getByLabel('It logs').selectOption('debug');
  await admin.getByText('chatty logs as you chose.').waitFor();
  await say('debug', 'somebody hears');
  await line('somebody hears').waitFor();
  await exactly(line('nobody hears'), 0);
  await fine(admin, 'a log');
});

test('a reload by its button, an UPDATE by a client of the database and a file that goes: each shows as it happens', async () => {
  await go(admin, '#/plugins/chatty', 'chatty');
  const { serving: { generation } } = await site.api('GET', '/api/v1/plugins/chatty');
  await admin.getByRole('button', { name: 'Reload chatty' }).click();
  await admin.getByText('chatty has a new generation.').waitFor();
  const now = await site.until('chatty', (plugin) => plugin.serving?.generation > generation && !plugin.candidate);
  await admin.locator('dl').getByText(String(now.serving.generation), { exact: true }).first().waitFor();
  const sql = (text) => {
    const ran = spawnSync('sqlite3', ['-cmd', '.timeout 20000', join(site.root, '.camlock/registry.db'), text], { encoding: 'utf8' });
    assert.equal(ran.status, 0, ran.stderr ?? String(ran.error));
  };
  await go(admin, '#/', 'Plugins');
  await admin.getByRole('button', { name: 'Disable chatty' }).waitFor();
  sql("UPDATE plugins SET enabled = 0 WHERE name = 'chatty'");
  await admin.getByRole('button', { name: 'Enable chatty' }).waitFor();
  sql("UPDATE plugins SET enabled = 1 WHERE name = 'chatty'");
  await admin.getByRole('button', { name: 'Disable chatty' }).waitFor();
  rmSync(join(site.root, 'plugins/chatty.rs'));
  await admin.getByRole('row', { name: /^chatty/ }).getByText('missing').waitFor();
  await admin.getByRole('row', { name: /^chatty/ }).getByText('put its entry back').waitFor();
  site.write('plugins/chatty.rs', chatty);
  await admin.getByRole('row', { name: /^chatty/ }).getByText('serving').waitFor();
  await fine(admin, 'what others changed');
});

test('events are narrowed by what happened and to whom, and come as they happen', async () => {
  await go(admin, '#/events', 'Events');
  const rows = admin.getByRole('region', { name: 'Events' }).getByRole('row');
  await rows.filter({ hasText: 'chatty' }).first().waitFor();
  await admin.getByLabel('What', { exact: true }).selectOption('disabled');
  await rows.filter({ has: admin.getByRole('cell', { name: 'serving', exact: true }) }).first().waitFor({ state: 'detached' });
  await rows.filter({ hasText: 'chatty' }).first().waitFor();
  const before = await rows.count();
  site.cli('disable', 'chatty');
  await admin.waitForFunction((count) => document.querySelectorAll('main tbody tr').length > count - 1, before);
  await fine(admin, 'events of a sort');
  await admin.getByLabel('What', { exact: true }).selectOption('');
  await admin.getByLabel('Plugin', { exact: true }).selectOption('chatty');
  await admin.getByRole('heading', { name: 'chatty', level: 1 }).waitFor();
  await rows.filter({ has: admin.getByRole('cell', { name: 'disabled', exact: true }) }).first().waitFor();
  await exactly(rows.filter({ hasText: 'packed' }), 0);
  site.cli('enable', 'chatty');
  await rows.filter({ has: admin.getByRole('cell', { name: 'enabled', exact: true }) }).first().waitFor();
});

test('one is uninstalled with all that it kept', async () => {
  await site.api('PUT', '/api/v1/plugins/chatty/level', { level: 'debug' });
  await go(admin, '#/plugins/chatty', 'chatty');
  await admin.getByRole('button', { name: 'Uninstall… chatty' }).click();
  await admin.getByLabel('Name of the plugin').fill('chatty');
  await admin.getByLabel(/^Remove all of it/).check();
  await fine(admin, 'uninstall with all that was kept');
  await admin.getByRole('dialog').getByRole('button', { name: 'Uninstall' }).click();
  await admin.getByRole('heading', { name: 'Plugins', level: 1 }).waitFor();
  await admin.getByRole('row', { name: /^chatty/ }).waitFor({ state: 'detached' });
  const { items } = await site.api('GET', '/api/v1/journal?limit=20');
  assert.ok(items.some(({ plugin, what }) => plugin === 'chatty' && /purge|remove|uninstall/.test(what)), JSON.stringify(items.slice(0, 5)));
});
