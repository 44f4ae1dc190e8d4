// Makes the picture of the page in the README: a server of its own with the shipped plugins and one that is broken, as somebody sees it
// who opens the page. Run by scripts/page-picture.
import { writeFileSync } from 'node:fs';
import { broken } from './plugins.mjs';
import { launch, signIn, Site, visitor } from './site.mjs';

const [to] = process.argv.slice(2);
const site = new Site();
for (const name of ['ticker', 'metrics', 'powertable']) site.ship(name);
site.write('plugins/guest-book.rs', broken.replace(/let _: u8 = "(?:[^"\\]|\\.)*";/, 'let entries: Vec<u32> = "none";').replace('Says nothing', 'Keeps what guests write'));
const [browser] = await Promise.all([launch(), site.start()]);
try {
  for (const name of ['ticker', 'metrics', 'powertable', 'guest-book']) await site.until(name, (plugin) => plugin.serving || plugin.failed);
  const page = await visitor(browser, { viewport: { width: 1180, height: 620 } });
  await signIn(page, site, site.token);
  await page.getByRole('row', { name: /^guest-book/ }).getByText('mend it and save').waitFor();
  await page.mouse.move(0, 0);
  writeFileSync(to, await page.screenshot({ type: 'png' }));
} finally {
  await browser.close();
  await site.end();
}
