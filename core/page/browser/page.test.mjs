// The page in a real browser, on a real server with real plugins: every view and act once, with axe at each state, and all that must
// be refused. Run by scripts/browser-tests.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { HOSTILE } from './corpus.mjs';
import { brings, broken, clock, evil, evilParts, failing, greeter, hello, looping } from './plugins.mjs';
import { exactly, fine, framed, goTo, launch, leave, picture, raw, signIn, Site, visitor } from './site.mjs';

let site;
let browser;
let admin;

before(async () => {
  site = new Site();
  site.write('plugins/hello.rs', hello('hello'));
  site.write('plugins/broken.rs', broken);
  greeter(site);
  brings(site, 'bringer', { permissions: ['ui:read', 'ui:call'], parts: 'widgets = [{ id = "clock", title = "Clock", module = "clock.js" }]\npages = [{ id = "board", title = "Board", module = "clock.js" }]', files: { 'clock.js': clock('one'), 'shared/shown.js': 'export const shown = (word) => `shows ${word}`;' } });
  [browser] = await Promise.all([launch(), site.start()]);
  const serving = (plugin) => plugin.serving || plugin.failed;
  for (const name of ['hello', 'broken', 'greeter', 'bringer']) await site.until(name, serving);
  assert.ok((await site.until('greeter', serving)).serving, JSON.stringify(await site.until('greeter', serving)));
  admin = await visitor(browser);
}, { timeout: 400_000 });

after(async () => {
  await browser?.close();
  await site?.end();
});

afterEach((context) => leave(context, 'failed', admin));

const go = (page, hash, heading) => goTo(page, site, hash, heading);

test('a token is pasted, a wrong one is refused, and what is shown is the overview', async () => {
  await admin.goto(`${site.page}/`);
  await admin.getByLabel('Token', { exact: true }).waitFor();
  await fine(admin, 'sign in');
  await picture(admin, 'sign-in');
  await admin.getByLabel('Token', { exact: true }).fill('wrong');
  await admin.getByRole('button', { name: 'Sign in' }).click();
  await admin.getByText('nobody knows this token').waitFor();
  await signIn(admin, site, site.token);
  const row = admin.getByRole('row', { name: /^broken/ });
  await row.getByText('build:').waitFor();
  await row.getByText('mend it and save').waitFor();
  await admin.getByText(/of 5 serve/).waitFor();
  const cookies = await admin.context().cookies();
  assert.deepEqual(cookies.map(({ httpOnly, sameSite, value }) => [httpOnly, sameSite, value.includes(site.token)]), [[true, 'Strict', false]]);
});

test('`camlock page` lets in once', async () => {
  const url = site.cli('page', '--print');
  const page = await visitor(browser);
  await page.goto(url);
  await page.getByRole('heading', { name: 'Plugins', level: 1 }).waitFor();
  assert.equal(new URL(page.url()).hash, '#/', 'the code is not left in the address');
  const other = await visitor(browser);
  await other.goto(url);
  await other.getByText('this link was used already').waitFor();
  await Promise.all([page.context().close(), other.context().close()]);
});

test('of many plugins those in sight are drawn, more as one scrolls, and a search finds those that are not drawn', async () => {
  await go(admin, '#/', 'Plugins');
  const all = await admin.evaluate(async () => {
    const tree = document.querySelector('script[type="module"]').src.split('/').at(-2);
    const { state, changed } = await import(`/${tree}/store.js`);
    const like = state.plugins.get('hello');
    globalThis.stored = { state, changed };
    state.plugins = new Map([...state.plugins, ...Array.from({ length: 300 }, (_, number) => [`many-${number}`, { ...like, name: `many-${number}` }])]);
    changed();
    return state.plugins.size;
  });
  await admin.getByText(`of ${all} shown`).waitFor();
  const rows = admin.locator('main tbody tr');
  assert.ok(await rows.count() < 150, `${await rows.count()} are drawn`);
  await admin.getByRole('row', { name: /^broken/ }).waitFor();
  for (let round = 0; round < 40 && await rows.count() < all; round += 1) {
    await admin.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await admin.waitForTimeout(50);
  }
  await exactly(rows, all);
  await exactly(admin.getByRole('button', { name: 'Show more' }), 0);
  await admin.getByLabel('Filter').fill('many-299');
  await exactly(rows, 1);
  await admin.getByLabel('Filter').fill('');
  await admin.evaluate(() => {
    const { state, changed } = globalThis.stored;
    state.plugins = new Map([...state.plugins].filter(([name]) => !name.startsWith('many-')));
    changed();
  });
  await exactly(admin.getByRole('row', { name: /^many/ }), 0);
});

test('each view is accessible, in light, dark and high contrast, wide and on a phone', async () => {
  const views = [['#/', 'Plugins'], ['#/dashboard', 'Dashboard'], ['#/problems', 'Problems'], ['#/doctor', 'Doctor'], ['#/events', 'Events'], ['#/nodes', 'Servers'], ['#/tokens', 'Tokens'], ['#/install', 'Install a plugin'], ['#/plugins/broken', 'broken'],
    ...['', '/analytics', '/try', '/configuration', '/grants', '/values', '/subscriptions', '/tasks', '/executions', '/logs', '/history', '/events'].map((tab) => [`#/plugins/greeter${tab}`, 'greeter'])];
  for (const [hash, heading] of views) {
    await go(admin, hash, heading);
    await admin.waitForFunction(() => !document.querySelector('main').textContent.includes('Loading…'));
    for (const theme of ['light', 'dark']) {
      await admin.getByLabel('Colours').selectOption(theme);
      await fine(admin, `${hash} ${theme}`);
      await picture(admin, `${hash.replace(/[#/]+/g, '-').replace(/^-|-$/g, '') || 'overview'}-${theme}`);
    }
  }
  await admin.getByLabel('Colours').selectOption('contrast');
  await go(admin, '#/', 'Plugins');
  await fine(admin, 'contrast');
  await picture(admin, 'overview-contrast');
  await admin.getByLabel('Colours').selectOption('auto');
  await admin.setViewportSize({ width: 390, height: 800 });
  for (const hash of ['#/', '#/plugins/greeter', '#/plugins/greeter/configuration']) {
    await go(admin, hash);
    await admin.locator('h1').waitFor();
    await fine(admin, `phone ${hash}`);
    const wider = await admin.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wider <= 0, `${hash} is ${wider} px too wide`);
    await picture(admin, `phone${hash.replace(/[#/]+/g, '-').replace(/-$/, '')}`);
  }
  await admin.setViewportSize({ width: 1280, height: 860 });
});

test('others’ text stays text, wherever it is shown', async () => {
  await go(admin, '#/plugins/greeter/logs', 'greeter');
  for (const text of [HOSTILE[0], HOSTILE[1], 'red link', 'right‹U+202E›to left']) await admin.locator('.log').getByText(text).first().waitFor();
  await go(admin, '#/plugins/greeter/values', 'greeter');
  await admin.getByRole('button', { name: 'Show key/0' }).click();
  await admin.getByRole('dialog').getByText(HOSTILE[0]).waitFor();
  await admin.getByRole('button', { name: 'Close' }).click();
  await go(admin, '#/plugins/broken', 'broken');
  await admin.locator('.diagnostic pre').first().getByText('ran()').waitFor();
  await go(admin, `#/plugins/${encodeURIComponent(HOSTILE[0])}`);
  await admin.getByText('There is no plugin').waitFor();
  await exactly(admin.locator('script:not([src]), svg, main img'), 0);
  assert.deepEqual(admin.wrong, []);
});

test('an endpoint is tried without the session, and its answer is text', async () => {
  await go(admin, '#/plugins/greeter/try', 'greeter');
  await admin.getByLabel('Path').fill('/api/v1/p/greeter/hostile');
  await admin.getByRole('button', { name: 'Send' }).click();
  await admin.locator('pre.answer').getByText(HOSTILE[0]).first().waitFor();
  await admin.getByLabel('Path').fill('/api/v1/p/greeter/cookies');
  await admin.getByRole('button', { name: 'Send' }).click();
  await admin.locator('pre.answer').getByText('"host"').waitFor();
  const seen = await admin.locator('pre.answer').textContent();
  assert.ok(!/cookie|authorization/i.test(seen), seen);
  await admin.getByLabel('Path').fill('/api/v1/tokens');
  await admin.getByRole('button', { name: 'Send' }).click();
  await admin.getByText('is not a path of').waitFor();
  await admin.getByRole('button', { name: 'Dismiss' }).click();
});

test('a configuration is changed by its form, errors stand at their field, and a secret is never shown', async () => {
  await go(admin, '#/plugins/greeter/configuration', 'greeter');
  await admin.getByLabel('Rows').waitFor();
  // Both at once, as what fills forms for people does it.
  await admin.evaluate((typed) => {
    for (const [id, value] of typed) {
      const field = document.getElementById(id);
      field.value = value;
      field.dispatchEvent(new InputEvent('input', { bubbles: true }));
    }
  }, [['field-rows', '99'], ['field-key', 'hunter2']]);
  await admin.getByRole('button', { name: 'Save' }).click();
  await admin.getByLabel('Rows').and(admin.locator('[aria-invalid="true"]')).waitFor();
  await fine(admin, 'with an error');
  await admin.getByLabel('Rows').fill('7');
  await admin.getByText('/key: (not set) → (hidden)'.replace('hidden', 'secret')).waitFor();
  await admin.getByRole('button', { name: 'Save' }).click();
  await admin.getByText('The configuration of greeter is saved.').waitFor();
  const { config } = await site.api('GET', '/api/v1/plugins/greeter');
  assert.deepEqual([config.rows, config.key], [7, '********']);
  assert.ok(!(await admin.content()).includes('hunter2'));
  await site.until('greeter', (plugin) => plugin.serving && !plugin.candidate);
});

test('tasks are looked at, given up and tried again; set times stand beside them', async () => {
  await site.api('POST', '/api/v1/tasks', { plugin: 'greeter', type: 'tidy', input: {} });
  await site.api('POST', '/api/v1/tasks', { plugin: 'greeter', type: 'tidy', input: { fails: true } });
  const later = await site.api('POST', '/api/v1/tasks', { plugin: 'greeter', type: 'tidy', input: {}, options: { delay: 3_600_000 } });
  await go(admin, '#/plugins/greeter/tasks', 'greeter');
  const tasks = admin.getByRole('region', { name: 'Tasks' });
  const row = (state) => tasks.getByRole('row').filter({ has: admin.getByRole('cell', { name: state, exact: true }) });
  for (const state of ['done', 'dead', 'waiting']) await row(state).waitFor();
  await row('dead').getByText(HOSTILE[0]).waitFor();
  await admin.getByRole('region', { name: 'Set times' }).getByRole('row', { name: /^nightly/ }).waitFor();
  await fine(admin, 'tasks');
  await picture(admin, 'tasks');
  await row('done').getByRole('button', { name: /^Show tidy/ }).click();
  await admin.getByRole('dialog').getByText('"tidied"').waitFor();
  await fine(admin, 'a task');
  await admin.getByRole('button', { name: 'Close' }).click();
  await admin.getByRole('button', { name: `Give up tidy ${later.id}` }).click();
  await row('cancelled').waitFor();
  await admin.getByRole('button', { name: `Try again tidy ${later.id}` }).click();
  await row('cancelled').waitFor({ state: 'detached' });
  await admin.getByLabel('State', { exact: true }).selectOption('dead');
  await row('done').first().waitFor({ state: 'detached' });
  await row('dead').waitFor();
  await admin.getByLabel('State', { exact: true }).selectOption('');
});

test('something is worked out, and stands in the log', async () => {
  await go(admin, '#/plugins/greeter/executions', 'greeter');
  await admin.getByLabel('Input as JSON').fill('{"number": 7');
  await admin.getByRole('button', { name: 'Execute' }).click();
  await admin.getByText('This is no JSON').waitFor();
  await admin.getByLabel('Input as JSON').fill('{"number": 7}');
  await admin.getByRole('button', { name: 'Execute' }).click();
  await admin.locator('pre.answer').getByText('"number": 7').waitFor();
  await admin.getByLabel('Input as JSON').fill('{"fails": true}');
  await admin.getByRole('button', { name: 'Execute' }).click();
  await admin.getByRole('status').getByText(HOSTILE[0]).waitFor();
  await admin.getByRole('row').filter({ hasText: HOSTILE[0] }).getByText('error', { exact: true }).waitFor();
  await fine(admin, 'executions');
  await picture(admin, 'executions');
  await admin.getByLabel('Outcome').selectOption('success');
  await admin.getByRole('row').filter({ hasText: HOSTILE[0] }).waitFor({ state: 'detached' });
});

test('what it hears of is paused, goes on, and what was given up is tried again', async () => {
  await go(admin, '#/plugins/greeter/subscriptions', 'greeter');
  const row = admin.getByRole('row').filter({ hasText: 'greeter:heard' });
  await row.getByText('active', { exact: true }).waitFor();
  await admin.getByRole('button', { name: 'Pause greeter:heard' }).click();
  await row.getByText('paused', { exact: true }).waitFor();
  await site.api('POST', '/api/v1/emit', { topic: 'greeter.good', payload: 1 });
  await row.getByRole('cell').nth(2).getByText('1', { exact: true }).waitFor();
  await fine(admin, 'subscriptions');
  await picture(admin, 'subscriptions');
  await admin.getByRole('button', { name: 'Resume greeter:heard' }).click();
  await row.getByText('active', { exact: true }).waitFor();
});

test('what it may is granted and revoked', async () => {
  await go(admin, '#/plugins/greeter/grants', 'greeter');
  await admin.getByRole('button', { name: 'Revoke network:api.example.com' }).click();
  await admin.getByText('It asks for 1 more than it has.').waitFor();
  await admin.getByRole('button', { name: 'Grant network:api.example.com' }).click();
  await admin.getByText('All that it asks for is granted.').waitFor();
});

test('two browsers see each other’s acts, and those of the shell', async () => {
  const other = await visitor(browser);
  await signIn(other, site, site.token);
  await go(admin, '#/', 'Plugins');
  await admin.getByRole('button', { name: 'Disable hello' }).click();
  await other.getByRole('row', { name: /^hello/ }).getByText('disabled').waitFor();
  await admin.getByRole('button', { name: 'Undo' }).click();
  await other.getByRole('button', { name: 'Disable hello' }).waitFor();
  site.cli('disable', 'hello');
  for (const page of [admin, other]) await page.getByRole('button', { name: 'Enable hello' }).waitFor();
  site.cli('enable', 'hello');
  for (const page of [admin, other]) await page.getByRole('button', { name: 'Disable hello' }).waitFor();
  await other.context().close();
});

test('a new version shows as it comes, and the way back is a click', async () => {
  await go(admin, '#/plugins/hello', 'hello');
  const { serving } = await site.api('GET', '/api/v1/plugins/hello');
  site.write('plugins/hello.rs', hello('hello again'));
  await admin.getByText('Says hello again').waitFor({ timeout: 60_000 });
  await go(admin, '#/plugins/hello/history', 'hello');
  await admin.getByRole('button', { name: /Go back to this/ }).first().click();
  const back = await site.until('hello', (plugin) => plugin.serving?.artifact === serving.artifact);
  assert.ok(back.serving.generation > serving.generation);
  await admin.getByText('hello went back.').waitFor();
  await go(admin, '#/plugins/hello/events', 'hello');
  await admin.getByRole('cell', { name: 'serving', exact: true }).first().waitFor();
});

test('how a plugin does is plotted, what a generation made worse is found, told as an event, and undone by its button', async () => {
  const topic = 'camlock.plugin.hello.problem';
  const stream = await fetch(`${site.url}/api/v1/topics/events?topic=${topic}`, { headers: { authorization: `Bearer ${site.token}` } });
  const heard = (async () => {
    const told = [];
    let text = '';
    for await (const part of stream.body.pipeThrough(new TextDecoderStream())) {
      text += part;
      const blocks = text.split('\n\n');
      text = blocks.pop();
      for (const block of blocks) told.push(...block.split('\n').filter((line) => line.startsWith('data:')).map((line) => JSON.parse(line.slice(5))));
      if (told.length >= 2) return told.map(({ payload }) => payload);
    }
    return told;
  })();
  const ask = async (status) => { for (let times = 0; times < 60; times += 1) assert.equal((await raw(`${site.url}/api/v1/p/hello/hello`)).status, status); };
  await ask(200);
  const { serving } = await site.api('GET', '/api/v1/plugins/hello');
  site.write('plugins/hello.rs', hello('nothing but errors').replace('get(|| async { "nothing but errors" })', 'get(|| async { camlock_plugin::axum::http::StatusCode::INTERNAL_SERVER_ERROR })'));
  const worse = await site.until('hello', (plugin) => plugin.serving?.generation > serving.generation && !plugin.candidate);
  await ask(500);
  await go(admin, '#/problems', 'Problems');
  const found = admin.getByRole('listitem').filter({ hasText: `100 % of its answers are errors since generation ${worse.serving.generation}` });
  await found.waitFor({ timeout: 30_000 });
  await found.getByText('Evidence').click();
  await found.getByText('error percent before').waitFor();
  await fine(admin, 'a problem by rule');
  await picture(admin, 'problem-by-rule');
  await go(admin, '#/plugins/hello/analytics', 'hello');
  const requests = admin.getByRole('img', { name: /^Requests\. Requests: \d+ at most/ });
  await requests.waitFor({ timeout: 30_000 });
  await admin.locator('figure').filter({ has: requests }).getByText('As a table').click();
  await admin.getByRole('region', { name: 'Requests', exact: true }).getByRole('row').nth(1).waitFor();
  const compared = admin.getByRole('region', { name: 'Generation by generation' }).getByRole('row');
  await compared.nth(2).waitFor();
  assert.match(await compared.nth(1).textContent(), new RegExp(`^${worse.serving.generation}`));
  await requests.hover();
  for (const theme of ['light', 'dark', 'contrast']) {
    await admin.getByLabel('Colours').selectOption(theme);
    // What the bar above covers in part is no fault.
    await admin.evaluate(() => scrollTo(0, 0));
    await fine(admin, `analytics ${theme}`);
    await picture(admin, `analytics-${theme}`);
  }
  await admin.getByLabel('Colours').selectOption('auto');
  await admin.setViewportSize({ width: 390, height: 800 });
  await fine(admin, 'analytics on a phone');
  assert.ok(await admin.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth), 'analytics is too wide');
  await picture(admin, 'phone-analytics');
  await admin.setViewportSize({ width: 1280, height: 860 });
  for (const word of ['day', 'week', 'month', 'year']) {
    await admin.getByLabel('Over the last').selectOption(word);
    await requests.waitFor();
  }
  await admin.getByLabel('Over the last').selectOption('hour');
  await admin.getByRole('listitem').getByRole('button', { name: 'Roll back hello' }).click();
  await site.until('hello', (plugin) => plugin.serving?.artifact === serving.artifact);
  await admin.getByText('No rule finds anything wrong with it.').waitFor({ timeout: 30_000 });
  assert.deepEqual((await heard).map(({ state, rule, act }) => [state, rule, act]), [['begun', 'error-rate', 'rollback'], ['over', 'error-rate', 'rollback']]);
});

test('a widget and a page come with their plugin, are swapped, kept when the new one fails, and revive', async () => {
  await go(admin, '#/dashboard', 'Dashboard');
  await framed(admin, 'Clock').getByText('shows one').waitFor();
  await framed(admin, 'Clock').getByRole('button', { name: 'Ask' }).click();
  await framed(admin, 'Clock').getByText('["bringer","1"]').waitFor();
  await fine(admin, 'dashboard');
  await picture(admin, 'dashboard');
  const before = await site.api('GET', '/api/v1/plugins/bringer');
  site.write('plugins/bringer/ui/clock.js', clock('two'));
  await framed(admin, 'Clock').getByText('shows two').waitFor({ timeout: 60_000 });
  await exactly(admin.locator('iframe'), 1, 'the old one is gone');
  site.write('plugins/bringer/ui/clock.js', failing);
  await admin.getByText('It failed').or(admin.getByText('Something in it failed')).getByText('<b>it cannot</b>').waitFor({ timeout: 60_000 });
  await framed(admin, 'Clock').getByText('shows two').waitFor();
  await fine(admin, 'a widget that failed');
  site.cli('rollback', 'bringer', '--to', before.serving.artifact);
  await framed(admin, 'Clock').getByText('shows one').waitFor({ timeout: 30_000 });
  site.cli('disable', 'bringer');
  await admin.getByText('bringer does not serve, or brings this no more').waitFor();
  await exactly(admin.locator('iframe'), 0);
  await fine(admin, 'a widget whose plugin is away');
  site.cli('enable', 'bringer');
  await framed(admin, 'Clock').getByText('shows one').waitFor({ timeout: 30_000 });
  await admin.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Board', exact: true }).click();
  assert.match(admin.url(), /#\/pages\/bringer\/board$/);
  await framed(admin, 'Board').getByRole('heading', { name: 'A page of one' }).waitFor();
  await fine(admin, 'a page of a plugin');
  // It keeps its place while its plugin is away.
  site.cli('disable', 'bringer');
  await admin.getByText('bringer does not serve, or brings this no more').waitFor();
  site.cli('enable', 'bringer');
  await framed(admin, 'Board').getByRole('heading', { name: 'A page of one' }).waitFor({ timeout: 30_000 });
});

test('a part asks no more than was granted, and than whoever looks may', async () => {
  const { token } = await site.api('POST', '/api/v1/tokens', { name: 'watcher', role: 'viewer' });
  const viewer = await visitor(browser);
  await signIn(viewer, site, token);
  await go(viewer, '#/dashboard', 'Dashboard');
  const ask = async (page, told) => {
    await framed(page, 'Clock').getByRole('button', { name: 'Ask' }).click();
    await framed(page, 'Clock').getByText(told).waitFor();
  };
  await ask(viewer, '["bringer",403]');
  await fine(viewer, 'dashboard as viewer');
  site.cli('revoke', 'bringer', 'ui:read');
  await viewer.waitForFunction(() => fetch('/api/v1/extensions').then((answer) => answer.json()).then(({ items }) => !items[0].rights.includes('ui:read')));
  await go(admin, '#/dashboard', 'Dashboard');
  await ask(admin, '[403,"1"]');
  site.cli('grant', 'bringer', 'ui:read');
  await viewer.context().close();
});

test('what a plugin brings cannot get at the page, the session, or anybody else', async () => {
  brings(site, 'evil', { permissions: [], parts: evilParts, files: evil });
  assert.ok((await site.until('evil', (plugin) => plugin.serving || plugin.failed)).serving);
  await go(admin, '#/dashboard', 'Dashboard');
  await framed(admin, 'Evil reaches').getByText(/^got /).waitFor({ timeout: 45_000 });
  assert.equal(await framed(admin, 'Evil reaches').locator('p').textContent(), 'got nothing');
  await framed(admin, 'Evil later').getByText('stands').waitFor();
  for (const [title, why] of [['throws', '<img src=x onerror=ran()>'], ['later', 'later it breaks'], ['lacks', 'exports no'], ['hangs', 'did not stand within 10 seconds'], ['floods', 'said more than is listened to']]) {
    await admin.getByRole('region', { name: `Evil ${title}` }).getByText(why).waitFor({ timeout: 30_000 });
  }
  for (const title of ['throws', 'lacks', 'hangs', 'floods']) await exactly(admin.locator(`iframe[title="Evil ${title}"]`), 0, title);
  // The page goes on meanwhile.
  await framed(admin, 'Clock').getByText('shows one').waitFor();
  await admin.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  const cookies = await admin.context().cookies();
  assert.equal(cookies.length, 1);
  // A beacon says that it was sent whatever becomes of it.
  assert.ok(admin.wrong.some((one) => /\/session' violates .*connect-src 'none'/.test(one)), admin.wrong.join('\n'));
  admin.wrong = admin.wrong.filter((one) => !/Content Security Policy|Content-Security-Policy|sandbox|later it breaks|Blocked|violates|script-src|connect-src|CORS|Unsafe attempt|net::ERR/i.test(one));
  assert.deepEqual(admin.wrong, []);
  site.cli('remove', 'evil');
  await go(admin, '#/', 'Plugins');
});

test('a part that loops does not hold up the page, nor the parts of others', async () => {
  brings(site, 'looping', { permissions: [], parts: 'widgets = [{ id = "loops", title = "Loops", module = "loops.js" }]', files: { 'loops.js': looping } });
  assert.ok((await site.until('looping', (plugin) => plugin.serving || plugin.failed)).serving);
  const other = await visitor(browser);
  await signIn(other, site, site.token);
  await go(other, '#/dashboard', 'Dashboard');
  await other.locator('iframe[title="Loops"]').waitFor({ state: 'attached' });
  // Nor other plugins' parts in the same window: each has a process of its own.
  await framed(other, 'Clock').getByRole('button', { name: 'Ask' }).click();
  await framed(other, 'Clock').getByText('["bringer","1"]').waitFor();
  await exactly(other.locator('iframe[title="Loops"]'), 1, 'it loops still');
  await other.getByRole('link', { name: 'Events' }).click();
  await other.getByRole('heading', { name: 'Events', level: 1 }).waitFor();
  await other.getByRole('link', { name: 'Dashboard' }).click();
  await other.getByRole('region', { name: 'Loops' }).getByText('did not stand within 10 seconds').waitFor({ timeout: 20_000 });
  await exactly(other.locator('iframe[title="Loops"]'), 0);
  site.cli('remove', 'looping');
  await other.context().close();
});

test('what plugins bring is sent by its digest, as script, style and image alone, and never as a document', async () => {
  const { items: [{ base, digest }] } = await site.api('GET', '/api/v1/extensions');
  const at = (path, dest) => raw(site.page + path, { headers: dest ? { 'sec-fetch-dest': dest } : {} });
  const file = await at(`${base}clock.js`, 'script');
  assert.equal(file.status, 200);
  assert.equal(file.headers['content-security-policy'], "sandbox allow-scripts; frame-ancestors 'self'");
  assert.deepEqual([file.headers['x-content-type-options'], file.headers['content-type'], file.headers['cache-control'].includes('immutable')], ['nosniff', 'text/javascript; charset=utf-8', true]);
  const frame = `/frame/bringer/${digest}/`;
  assert.match((await at(frame, 'iframe')).headers['content-security-policy'], /^sandbox allow-scripts; default-src 'none'; .*connect-src 'none'/);
  const shell = (await at('/')).headers['content-security-policy'];
  // `about` is compiled in, and so it is trusted.
  assert.ok(!/script-src[^;]*('self'|\/ext\/(?!about\/)|\*)/.test(shell) && /script-src [^;]*\/[0-9a-f]{16}\/ [^;]*\/ext\/about\/;/.test(shell), shell);
  for (const [path, dest, status] of [[`${base}clock.js`, 'document', 403], [`${base}clock.js`, 'iframe', 403], [`${base}%2e%2e/%2e%2e/session`, 'script', 404], [`${base}other.js`, 'script', 404], [base.replace(digest, '0'.repeat(64)) + 'clock.js', 'script', 404], [`/ext/nobody/${digest}/clock.js`, 'script', 404], ['/ext/', 'script', 404], [frame, 'document', 403], [`${frame}x`, 'iframe', 404], [`/frame/bringer/${'0'.repeat(64)}/`, 'iframe', 404]]) {
    assert.equal((await at(path, dest)).status, status, `${path} ${dest}`);
  }
  assert.equal((await raw(`${site.url}${base}clock.js`)).status, 404, 'not on the plugins’ listener');
});

test('a plugin is installed from a file and uninstalled by its typed name', async () => {
  await go(admin, '#/install', 'Install a plugin');
  await admin.getByLabel('Or a path on the server').fill(site.write('elsewhere/second.rs', hello('second')));
  await admin.getByRole('button', { name: 'Install', exact: true }).click();
  await admin.getByRole('heading', { name: 'second', level: 1 }).waitFor();
  await site.until('second', (plugin) => plugin.serving);
  await admin.getByRole('button', { name: 'Uninstall… second' }).click();
  const sure = admin.getByRole('dialog').getByRole('button', { name: 'Uninstall' });
  assert.ok(await sure.isDisabled());
  await fine(admin, 'uninstall');
  await picture(admin, 'uninstall');
  await admin.getByLabel('Name of the plugin').fill('second');
  await sure.click();
  await admin.getByRole('heading', { name: 'Plugins', level: 1 }).waitFor();
  const left = await site.api('GET', '/api/v1/plugins/second').catch(() => null);
  assert.ok(!left?.serving, JSON.stringify(left));
});

test('tokens are made, and what a role may not do is not there', async () => {
  await go(admin, '#/tokens', 'Tokens');
  await admin.getByLabel('Name').fill('looker');
  await admin.getByRole('button', { name: 'Make' }).click();
  const secret = await admin.getByRole('dialog').locator('pre').textContent();
  await fine(admin, 'secret');
  await admin.getByRole('button', { name: 'Close' }).click();
  const viewer = await visitor(browser);
  await signIn(viewer, site, secret);
  await viewer.getByRole('row', { name: /^hello/ }).waitFor();
  await exactly(viewer.getByRole('button', { name: /Disable|Enable|Reload/ }), 0);
  // What plugins bring comes a moment later.
  await viewer.getByRole('link', { name: 'Board', exact: true }).waitFor();
  assert.deepEqual(await viewer.getByRole('navigation', { name: 'Main' }).getByRole('link').allTextContents(), ['Overview', 'Dashboard', 'Problems', 'Doctor', 'Events', 'Servers', 'Catalog', 'Board']);
  await go(viewer, '#/plugins/greeter', 'greeter');
  assert.deepEqual(await viewer.getByRole('navigation', { name: 'greeter' }).getByRole('link').allTextContents(), ['State', 'Analytics', 'Permissions', 'Logs', 'History', 'Events']);
  await fine(viewer, 'as viewer');
  // An operator has the views between.
  const { token: operates } = await site.api('POST', '/api/v1/tokens', { name: 'operates', role: 'operator' });
  const operator = await visitor(browser);
  await signIn(operator, site, operates);
  await operator.getByRole('button', { name: 'Disable hello' }).waitFor();
  // What plugins bring comes a moment later.
  await operator.getByRole('link', { name: 'Board', exact: true }).waitFor();
  assert.deepEqual(await operator.getByRole('navigation', { name: 'Main' }).getByRole('link').allTextContents(), ['Overview', 'Dashboard', 'Problems', 'Doctor', 'Events', 'Servers', 'Catalog', 'Board']);
  for (const tab of ['', '/analytics', '/try', '/grants', '/subscriptions', '/tasks', '/executions', '/logs', '/history', '/events']) {
    await go(operator, `#/plugins/greeter${tab}`, 'greeter');
    await operator.waitForFunction(() => !document.querySelector('main').textContent.includes('Loading…'));
    await fine(operator, `${tab} as operator`);
  }
  assert.deepEqual(await operator.getByRole('navigation', { name: 'greeter' }).getByRole('link').allTextContents(), ['State', 'Analytics', 'Try', 'Permissions', 'Subscriptions', 'Tasks', 'Executions', 'Logs', 'History', 'Events']);
  await exactly(operator.getByRole('button', { name: /Uninstall|Grant|Revoke/ }), 0);
  await operator.context().close();
  await admin.getByRole('button', { name: 'Revoke looker' }).click();
  await admin.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  // Its streams end with it, and a token is asked for.
  await viewer.getByRole('heading', { name: 'Your session has ended' }).waitFor();
  await viewer.context().close();
});

test('all of it is reached by the keyboard', async () => {
  await go(admin, '#/', 'Plugins');
  await admin.keyboard.press('/');
  await admin.waitForFunction(() => document.activeElement.id === 'filter');
  await admin.keyboard.type('gree');
  await admin.getByText(/^1 of \d shown/).waitFor();
  await admin.getByLabel('Filter by name or description').fill('');
  await admin.keyboard.press('Control+k');
  await admin.getByRole('combobox', { name: 'Type a plugin or a command' }).waitFor();
  await fine(admin, 'palette');
  await admin.keyboard.type('greeter logs');
  await picture(admin, 'palette');
  await admin.keyboard.press('Enter');
  await admin.getByRole('heading', { name: 'greeter', level: 1 }).waitFor();
  assert.match(admin.url(), /#\/plugins\/greeter\/logs$/);
  // Opened and put away as often as one likes.
  for (let round = 0; round < 3; round += 1) {
    await admin.keyboard.press('Control+k');
    await admin.getByRole('combobox', { name: 'Type a plugin or a command' }).waitFor();
    await admin.keyboard.press('Escape');
    await exactly(admin.getByRole('dialog'), 0);
  }
});

test('a session that ends loses nothing of what was typed', async () => {
  await go(admin, '#/plugins/greeter/configuration', 'greeter');
  await admin.getByLabel('greeting').fill('typed before');
  await admin.context().clearCookies();
  await admin.getByRole('button', { name: 'Save' }).click();
  await admin.getByRole('heading', { name: 'Your session has ended' }).waitFor();
  // Nothing behind it would work, so it stays.
  for (let round = 0; round < 3; round += 1) await admin.keyboard.press('Escape');
  await admin.getByLabel('Token', { exact: true }).fill(site.token);
  await admin.getByRole('button', { name: 'Sign in' }).click();
  await admin.getByText('The configuration of greeter is saved.').waitFor();
  assert.equal((await site.api('GET', '/api/v1/plugins/greeter')).config.greeting, 'typed before');
});

test('a server that restarts under an open page: stale, and then live by itself', async () => {
  await go(admin, '#/', 'Plugins');
  await admin.getByText('Live', { exact: true }).waitFor();
  await site.stop();
  await admin.getByText('The server does not answer.').waitFor();
  await fine(admin, 'stale');
  await picture(admin, 'stale');
  await site.start();
  await admin.getByText('Live', { exact: true }).waitFor({ timeout: 30_000 });
  await site.until('hello', (plugin) => plugin.serving);
  await admin.getByRole('row', { name: /^hello/ }).getByText('serving').waitFor();
});

test('`/` tells people and machines what is served and where the page is', async () => {
  const html = await raw(`${site.url}/`, { headers: { accept: 'text/html,*/*' } });
  assert.match(html.headers['content-type'], /text\/html/);
  assert.ok(html.text.includes(`href="${site.page}/"`) && html.text.includes('/api/v1/p/hello/'), html.text);
  const json = JSON.parse((await raw(`${site.url}/`)).text);
  assert.deepEqual([json.page, json.plugins.some(({ name }) => name === 'hello')], [site.page, true]);
});

test('plugins’ paths are not on the page’s listener, and their pages do not get its cookie', async () => {
  for (const path of ['/api/v1/p/hello/hello', '/plugins', '/docs', '/metrics', '/api/v2']) assert.equal((await raw(site.page + path)).status, 404, path);
  const page = await admin.context().newPage();
  await page.goto(`${site.url}/api/v1/p/greeter/cookies`);
  assert.ok(!(await page.locator('body').textContent()).includes('camlock_page_'));
  await page.close();
});

test('other hosts, origins, sites and frames are refused', async () => {
  const { host } = new URL(site.page);
  const name = (await admin.context().cookies()).find((cookie) => cookie.name.startsWith('camlock_page_'));
  const cookie = `${name.name}=${name.value}`;
  const path = `${site.page}/api/v1/plugins/hello/disable`;
  assert.equal((await raw(`${site.page}/api/v1/whoami`, { headers: { host, cookie } })).status, 200);
  for (const [what, status, url, asked] of [
    ['rebinding', 421, `${site.page}/`, { headers: { host: 'evil.example:8081' } }],
    ['rebinding with the cookie', 421, `${site.page}/api/v1/plugins`, { headers: { host: 'evil.example', cookie } }],
    ['a forged origin', 403, path, { method: 'POST', headers: { host, cookie, origin: 'http://evil.example' } }],
    ['a page on another port', 403, path, { method: 'POST', headers: { host, cookie, origin: site.url, 'sec-fetch-site': 'same-site' } }],
    ['no origin', 403, path, { method: 'POST', headers: { host, cookie } }],
    ['an opaque origin', 403, path, { method: 'POST', headers: { host, cookie, origin: 'null' } }],
    ['signing in from elsewhere', 403, `${site.page}/session`, { method: 'POST', headers: { host, origin: 'http://evil.example' }, body: '{"token":"x"}' }],
    ['looking from elsewhere', 403, `${site.page}/api/v1/plugins`, { headers: { host, cookie, 'sec-fetch-site': 'cross-site' } }],
    ['a token instead of a session', 401, `${site.page}/api/v1/plugins`, { headers: { host, authorization: `Bearer ${site.token}` } }],
    ['a damaged session', 401, `${site.page}/api/v1/plugins`, { headers: { host, cookie: `${cookie}A` } }],
  ]) {
    const answer = await raw(url, asked);
    assert.equal(answer.status, status, `${what}: ${answer.text}`);
    assert.equal(answer.headers['x-frame-options'], 'DENY', what);
  }
  assert.ok((await site.api('GET', '/api/v1/plugins/hello')).enabled);
  // In a browser that is signed in, from a page that a plugin serves on another port of the same host.
  const page = await admin.context().newPage();
  await page.goto(`${site.url}/api/v1/p/greeter/cookies`);
  const refused = await page.evaluate(async (url) => {
    const post = await fetch(url, { method: 'POST', credentials: 'include', mode: 'no-cors', body: '{}' }).then(({ type }) => type, () => 'refused');
    const look = await fetch(`${new URL(url).origin}/api/v1/plugins`, { credentials: 'include' }).then(() => 'read', () => 'refused');
    const frame = document.createElement('iframe');
    frame.src = `${new URL(url).origin}/`;
    document.body.append(frame);
    await new Promise((resolve) => { frame.onload = resolve; setTimeout(resolve, 3000); });
    return { post, look, frame: frame.contentDocument === null ? 'refused or foreign' : 'own' };
  }, path);
  assert.notEqual(refused.look, 'read');
  assert.ok(page.frames().every((frame) => frame === page.mainFrame() || frame.url().startsWith('chrome-error:') || frame.url() === 'about:blank'), page.frames().map((frame) => frame.url()).join());
  assert.ok((await site.api('GET', '/api/v1/plugins/hello')).enabled, JSON.stringify(refused));
  await page.close();
});

test('the page’s own policy lets no text become markup and no script in', async () => {
  await go(admin, '#/', 'Plugins');
  const tried = await admin.evaluate(() => {
    const attempts = [() => { document.body.innerHTML += '<b>x</b>'; }, () => { const script = document.createElement('script'); script.textContent = 'ran()'; document.body.append(script); }];
    return attempts.map((attempt) => { try { attempt(); return 'done'; } catch (error) { return error.name; } });
  });
  assert.ok(tried.every((outcome) => outcome !== 'done'), tried.join());
  assert.ok(!admin.wrong.includes('a script of somebody else ran'));
});
