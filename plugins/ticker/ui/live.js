// The widget of ticker on the page's dashboard: the seconds as they pass, and how many listen.
const EVERY = 1000;

async function ticks(ctx) {
  const { status, body } = await ctx.call('GET', '/now');
  return status === 200 ? `${JSON.parse(body).uptime} s` : `status ${status}`;
}

/** Whoever may not call it sees how many listen all the same. */
const told = (error) => (error.status === 403 ? '' : error.message);

export const widgets = {
  live: {
    mount(root, ctx) {
      const seconds = document.createElement('p');
      const listeners = document.createElement('p');
      seconds.style.fontSize = '28px';
      root.append(seconds, listeners);
      const look = async () => {
        seconds.textContent = await ticks(ctx).catch(told);
        const plugin = await ctx.read('plugin').catch((error) => ({ why: error.message }));
        listeners.textContent = plugin.why ?? `${plugin.serving?.in_flight ?? 0} listen to generation ${plugin.serving?.generation ?? '?'}`;
      };
      const timer = setInterval(look, EVERY);
      ctx.signal.addEventListener('abort', () => clearInterval(timer));
      return look();
    },
  },
};
