// Every view, as every role, in all colours, wide and narrow: accessible, complete, and no wider than its window. Prints a table of what
// was looked at. Run by `scripts/browser-tests --all`; CAMLOCK_MATRIX names the views to be looked at alone, as `#/events,#/nodes`.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Keeper, readme } from './authors.mjs';
import { brings, clock, greeter } from './plugins.mjs';
import { faults, launch, signIn, Site, visitor } from './site.mjs';

const VIEWS = ['#/', '#/dashboard', '#/problems', '#/doctor', '#/events', '#/nodes', '#/tokens', '#/install', '#/pages/bringer/board',
  '#/catalog', '#/catalog/plugins/listed', '#/catalog/updates', '#/catalog/sources',
  ...['', '/analytics', '/try', '/configuration', '/grants', '/values', '/subscriptions', '/tasks', '/executions', '/logs', '/history', '/events'].map((tab) => `#/plugins/greeter${tab}`)];
const ROLES = ['viewer', 'operator', 'admin'];
const THEMES = ['light', 'dark', 'contrast'];
const WIDTHS = { wide: { width: 1280, height: 860 }, narrow: { width: 390, height: 800 }, huge: { width: 2560, height: 1300 } };
const wanted = process.env.CAMLOCK_MATRIX?.split(',');

let site;
let browser;

before(async () => {
  site = new Site();
  greeter(site);
  brings(site, 'bringer', { permissions: ['ui:read', 'ui:call'], parts: 'widgets = [{ id = "clock", title = "Clock", module = "clock.js" }]\npages = [{ id = "board", title = "Board", module = "clock.js" }]', files: { 'clock.js': clock('one'), 'shared/shown.js': 'export const shown = (word) => `shows ${word}`;' } });
  const keeper = new Keeper(site);
  keeper.publish(keeper.package('listed', { version: '0.1.0', says: 'one', description: 'Listed by a catalog', readme, keys: 'category = "http"\npermissions = ["storage"]' }), '--publisher', 'author.key.pub');
  [browser] = await Promise.all([launch(), site.start()]);
  await site.api('POST', '/api/v1/catalogs', { name: 'main', url: keeper.url });
  for (const name of ['greeter', 'bringer']) {
    const { serving, failed } = await site.until(name, (plugin) => plugin.serving || plugin.failed);
    assert.ok(serving, JSON.stringify(failed));
  }
}, { timeout: 400_000 });

after(async () => {
  await browser?.close();
  await site?.end();
});

for (const role of ROLES) {
  test(`every view as ${role}`, { timeout: 1_800_000 }, async (context) => {
    const { token } = await site.api('POST', '/api/v1/tokens', { name: `as-${role}`, role });
    const page = await visitor(browser);
    await signIn(page, site, token);
    const wrong = [];
    for (const view of VIEWS.filter((one) => !wanted || wanted.includes(one))) {
      const cells = [];
      for (const [width, size] of Object.entries(WIDTHS)) {
        await page.setViewportSize(size);
        for (const theme of THEMES) {
          await page.goto(`${site.page}/${view}`);
          await page.locator('h1').first().waitFor();
          await page.waitForFunction(() => !document.querySelector('main').textContent.includes('Loading…'));
          await page.getByLabel('Colours').selectOption(theme);
          await page.evaluate(() => scrollTo(0, 0));
          const found = await faults(page);
          const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          if (over > 0) found.push(`${over} px too wide`);
          found.push(...page.wrong.splice(0));
          cells.push(found.length);
          wrong.push(...found.map((what) => `${view} ${role} ${theme} ${width}: ${what}`));
        }
      }
      context.diagnostic(`| ${view} | ${role} | ${cells.join(' | ')} |`);
    }
    await page.context().close();
    assert.deepEqual(wrong, []);
  });
}
