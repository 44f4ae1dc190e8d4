// Two servers on one real PostgreSQL, as the page of each shows them: who serves what, a rollout as it goes, one that is silent, what both
// counted, and what is decided in the database. Run by scripts/browser-tests.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { hello } from './plugins.mjs';
import { Postgres } from './postgres.mjs';
import { exactly, fine, goTo, launch, picture, raw, signIn, Site, visitor } from './site.mjs';

let postgres;
let one;
let other;
let browser;
/** Of the one, of the other. */
let here;
let there;

before(async () => {
  postgres = await Postgres.start();
  const settings = `database.url = "${postgres.url}"\nfleet.heartbeat = "500ms"\nfleet.alive = "10s"\nfleet.rollout = "60s"\n`;
  [one, other] = [new Site(settings), new Site(settings)];
  for (const site of [one, other]) site.write('plugins/hello.rs', hello('hello'));
  browser = await launch();
  for (const site of [one, other]) {
    await site.start(['--no-parent']);
    const { serving, failed } = await site.until('hello', (plugin) => plugin.serving || plugin.failed);
    assert.ok(serving, JSON.stringify(failed));
  }
  [here, there] = [await visitor(browser), await visitor(browser)];
  await signIn(here, one, one.token);
  await signIn(there, other, other.token);
}, { timeout: 400_000 });

after(async () => {
  await browser?.close();
  for (const site of [one, other]) await site?.end();
  await postgres?.end();
});

afterEach(async (context) => {
  if (context.passed !== false || !here || !there) return;
  for (const page of [here, there]) context.diagnostic(`${page.url()} showed: ${await page.locator('body').innerText()} ${JSON.stringify(page.wrong)}`);
});

const server = (page, site) => page.locator('section.card').filter({ hasText: new URL(site.url).host });

test('servers of a fleet stand beside each other, with what each serves', async () => {
  await goTo(here, one, '#/nodes', 'Servers');
  for (const site of [one, other]) await server(here, site).getByRole('row', { name: /^hello/ }).getByText('serving').waitFor();
  await server(here, one).getByText('this one').waitFor();
  await exactly(server(here, other).getByText('this one'), 0);
  await fine(here, 'two servers');
  await picture(here, 'fleet');
});

test('a rollout shows as it goes: who is waited for, and then the new one on both', async () => {
  await goTo(here, one, '#/plugins/hello', 'hello');
  await goTo(there, other, '#/', 'Plugins');
  // Until it goes on, nothing is agreed on.
  other.child.kill('SIGSTOP');
  try {
    one.write('plugins/hello.rs', hello('hello again'));
    await here.getByText(/waiting for the other servers|it is ready, and waits for/).waitFor({ timeout: 120_000 });
    await fine(here, 'a rollout that waits');
    await picture(here, 'fleet-rollout');
    assert.equal((await raw(`${one.url}/api/v1/p/hello/hello`)).text, 'hello');
  } finally {
    other.child.kill('SIGCONT');
  }
  await here.getByText('Says hello again').waitFor({ timeout: 120_000 });
  await there.getByRole('row', { name: /^hello/ }).getByText('Says hello again').waitFor({ timeout: 120_000 });
  for (const site of [one, other]) {
    await site.until('hello', (plugin) => plugin.description === 'Says hello again' && !plugin.candidate);
    assert.equal((await raw(`${site.url}/api/v1/p/hello/hello`)).text, 'hello again');
  }
});

test('an act on one server, and an UPDATE in the database, show on the pages of both', async () => {
  await goTo(here, one, '#/', 'Plugins');
  await here.getByRole('button', { name: 'Disable hello' }).click();
  for (const page of [here, there]) await page.getByRole('button', { name: 'Enable hello' }).waitFor();
  assert.equal(postgres.sql("UPDATE camlock.plugins SET enabled = true WHERE name = 'hello'"), '');
  for (const page of [here, there]) await page.getByRole('button', { name: 'Disable hello' }).waitFor();
});

test('what is plotted is what all servers counted together, and each generation says whose it was', async () => {
  for (const site of [one, other]) await site.until('hello', (plugin) => plugin.serving && !plugin.candidate);
  const ask = async (site, times) => { for (let time = 0; time < times; time += 1) assert.equal((await raw(`${site.url}/api/v1/p/hello/hello`)).status, 200); };
  const requests = async () => (await one.api('GET', '/api/v1/plugins/hello/analytics')).usage.requests;
  const before = await requests();
  await ask(one, 5);
  await ask(other, 7);
  // What a server counted is written at its end, and every minute.
  await other.stop();
  assert.ok((await requests()) - before >= 12, `${before} and then ${await requests()}`);
  await goTo(here, one, '#/plugins/hello/analytics', 'hello');
  await here.getByText('2 of them served it lately').waitFor();
  const generations = here.getByRole('region', { name: 'Generation by generation' });
  for (const site of [one, other]) await generations.getByRole('row').filter({ hasText: new URL(site.url).host }).first().waitFor();
  await here.locator('dl.pairs').getByText(String(await requests()), { exact: true }).waitFor();
  await fine(here, 'what a fleet counted');
  await picture(here, 'fleet-analytics');
  await other.start(['--no-parent']);
  await other.until('hello', (plugin) => plugin.serving);
});

test('a server that falls silent is said to be, with what to do, and is well again when it is heard of', async () => {
  await goTo(here, one, '#/nodes', 'Servers');
  other.child.kill('SIGSTOP');
  try {
    await server(here, other).getByText('silent').waitFor({ timeout: 60_000 });
    await fine(here, 'a silent server');
    await goTo(here, one, '#/problems', 'Problems');
    await here.getByRole('listitem').filter({ hasText: 'has been silent since' }).getByText('look whether that server runs').waitFor();
    await fine(here, 'a silent server among problems');
  } finally {
    other.child.kill('SIGCONT');
  }
  await here.getByText('has been silent since').waitFor({ state: 'detached', timeout: 60_000 });
  await goTo(here, one, '#/nodes', 'Servers');
  await server(here, other).getByText('silent').waitFor({ state: 'detached', timeout: 60_000 });
});
