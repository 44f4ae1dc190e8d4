// What plugins bring into the page itself, and what else they bring than widgets in frames, in a real browser on a real server. Run by
// scripts/browser-tests.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { brings, clock, failing } from './plugins.mjs';
import { faults, framed, launch, picture, raw, signIn, Site, visitor } from './site.mjs';

const CLOCK = { permissions: ['ui:read', 'ui:call'], parts: 'widgets = [{ id = "clock", title = "Inner clock", module = "clock.js" }]', files: { 'clock.js': clock('one'), 'shared/shown.js': 'export const shown = (word) => `shows ${word}`;' } };

let site;
let browser;
let admin;

before(async () => {
  site = new Site('[plugin.inner]\nui = "trusted"\n');
  brings(site, 'inner', CLOCK);
  brings(site, 'outer', { ...CLOCK, parts: CLOCK.parts.replace('Inner', 'Outer') });
  [browser] = await Promise.all([launch(), site.start()]);
  for (const name of ['inner', 'outer']) {
    const { serving, failed } = await site.until(name, (plugin) => plugin.serving || plugin.failed);
    assert.ok(serving, JSON.stringify(failed));
  }
  admin = await visitor(browser);
  await signIn(admin, site, site.token);
}, { timeout: 400_000 });

after(async () => {
  await browser?.close();
  await site?.end();
});

afterEach(async (context) => {
  if (context.passed !== false || !admin) return;
  await picture(admin, 'failed-parts');
  context.diagnostic(`${admin.url()} showed: ${await admin.locator('body').innerText()}`);
  context.diagnostic(`consoles and refusals: ${JSON.stringify(admin.wrong)}`);
});

const go = async (page, hash, heading) => {
  await page.goto(`${site.page}/${hash}`);
  await page.getByRole('heading', { name: heading, level: 1 }).waitFor();
};

const fine = async (page, where) => {
  assert.deepEqual(await faults(page), [], where);
  assert.deepEqual(page.wrong, [], where);
};

test('a trusted plugin’s part runs in the page, is swapped there, kept when the new one fails, and asks no more than others', async () => {
  await go(admin, '#/dashboard', 'Dashboard');
  const inner = admin.getByRole('region', { name: 'Inner clock' });
  await inner.getByText('shows one').waitFor();
  await framed(admin, 'Outer clock').getByText('shows one').waitFor();
  assert.equal(await admin.locator('iframe').count(), 1, 'the trusted one has no frame');
  await inner.getByRole('button', { name: 'Ask' }).click();
  await inner.getByText('["inner","1"]').waitFor();
  await fine(admin, 'a trusted widget');
  await picture(admin, 'dashboard-trusted');
  const policy = (await raw(`${site.page}/`)).headers['content-security-policy'];
  assert.match(policy, /script-src \S+\/[0-9a-f]{16}\/ \S+\/ext\/inner\/; style-src/);
  assert.ok(!policy.includes('outer') && !/script-src[^;]*'self'/.test(policy), policy);

  site.write('plugins/inner/ui/clock.js', clock('two').replace('root.append(', "const other = await fetch('/api/v1/extensions').then((answer) => answer.json()).then(({ items }) => import(`${items.find(({ plugin }) => plugin === 'outer').base}clock.js`)).then(() => 'reached', () => 'refused'); root.append(Object.assign(document.createElement('p'), { textContent: `others ${other}` }), "));
  await inner.getByText('shows two').waitFor({ timeout: 60_000 });
  await inner.getByText('others refused').waitFor();
  assert.equal(await admin.locator('.inside').count(), 1, 'the old one is gone');
  admin.wrong = admin.wrong.filter((one) => !/Content Security Policy|Content-Security-Policy/i.test(one));
  site.write('plugins/inner/ui/clock.js', failing);
  await inner.getByText('<b>it cannot</b>').waitFor({ timeout: 60_000 });
  await inner.getByText('shows two').waitFor();
  await fine(admin, 'a trusted widget that failed');
  site.write('plugins/inner/ui/clock.js', clock('three').replace("button.addEventListener('click', async () => {", "button.addEventListener('click', async () => { setTimeout(() => { throw new Error('later it breaks'); });"));
  await inner.getByText('shows three').waitFor({ timeout: 60_000 });
  site.cli('revoke', 'inner', 'ui:read');
  await admin.waitForFunction(() => fetch('/api/v1/extensions').then((answer) => answer.json()).then(({ items }) => !items.find(({ plugin }) => plugin === 'inner').rights.includes('ui:read')));
  await go(admin, '#/', 'Plugins');
  await go(admin, '#/dashboard', 'Dashboard');
  await inner.getByRole('button', { name: 'Ask' }).click();
  await inner.getByText('[403,"1"]').waitFor();
  await inner.getByText('later it breaks').waitFor();
  assert.ok(admin.wrong.every((one) => one.includes('later it breaks')), admin.wrong.join());
  admin.wrong = [];
  site.cli('grant', 'inner', 'ui:read');
  site.cli('disable', 'inner');
  await admin.getByText('inner does not serve, or brings this no more').waitFor();
  assert.equal(await admin.locator('.inside').count(), 0);
  site.cli('enable', 'inner');
  await inner.getByText('shows three').waitFor({ timeout: 30_000 });
});
