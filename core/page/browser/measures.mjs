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

/** Goes to and fro between two artifacts of a plugin, so many times; `told` gets when each swap was answered, and which is there now. */
export async function swaps(site, name, [one, other], times, told) {
  for (let time = 0; time < times; time += 1) {
    const to = time % 2 ? one : other;
    await site.api('POST', `/api/v1/plugins/${name}/rollback`, { to: to.digest });
    await told(to, Date.now());
  }
}

/** The artifact that serves now, with what it shows. */
export const artifact = async (site, name, shows) => ({ digest: (await site.api('GET', `/api/v1/plugins/${name}`)).serving.artifact, shows });

export function quantile(numbers, share) {
  const sorted = [...numbers].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)];
}
