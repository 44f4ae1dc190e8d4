// What is measured in a page, by the debugger and by the page's own clock. What must not live here: what it should be.

/** Nodes, listeners and documents of a page, once what nobody holds is gone; and its heap. */
export async function held(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  for (let round = 0; round < 3; round += 1) await session.send('HeapProfiler.collectGarbage');
  const { metrics } = await session.send('Performance.getMetrics');
  await session.detach();
  const of = (name) => metrics.find((metric) => metric.name === name).value;
  return { nodes: of('Nodes'), listeners: of('JSEventListeners'), documents: of('Documents'), heap: of('JSHeapUsedSize') };
}

/** Goes to and fro between two artifacts of a plugin, so many times; `told` gets when each swap was answered, which is there now, and
 * what `watch` began to wait for before it. */
export async function swaps(site, name, [one, other], times, told, watch = () => null) {
  for (let time = 0; time < times; time += 1) {
    const to = time % 2 ? one : other;
    const seen = watch(to);
    await site.api('POST', `/api/v1/plugins/${name}/rollback`, { to: to.digest });
    await told(to, Date.now(), seen);
  }
}

/** When, by the page's own clock, something that it looks for in each frame was drawn. The page runs `looks`, which sees nothing else. */
export const drawn = (page, looks, given) => page.evaluate(`(async () => {
  const looks = ${looks};
  while (!looks(${JSON.stringify(given)})) await new Promise((found) => requestAnimationFrame(found));
  await new Promise((found) => requestAnimationFrame(() => setTimeout(found)));
  return performance.timeOrigin + performance.now();
})()`);

/** The artifact that serves now, with what it shows. */
export const artifact = async (site, name, shows) => ({ digest: (await site.api('GET', `/api/v1/plugins/${name}`)).serving.artifact, shows });

export function quantile(numbers, share) {
  const sorted = [...numbers].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)];
}
