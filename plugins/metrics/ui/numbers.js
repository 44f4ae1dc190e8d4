// What a chart says of a row of numbers. Pure.

/** How many seconds back, and for how long a point stands. */
export const SPANS = { hour: [3600, '1m'], day: [86_400, '1h'], week: [7 * 86_400, '1h'], month: [30 * 86_400, '1d'], year: [365 * 86_400, '1d'] };

export const NAMES = {
  requests: 'requests', errors: 'errors', p50_ms: 'median until answers began', p95_ms: '95 of 100 answers began within', p99_ms: '99 of 100 answers began within',
  memory_bytes: 'memory held', panics: 'panics', executions: 'executions', tasks_done: 'tasks done', events_delivered: 'events handled', asks: 'asks of its host',
};

export function shown(what, number) {
  if (number === null || number === undefined) return '—';
  if (what.endsWith('_ms')) return number >= 1000 ? `${(number / 1000).toFixed(2)} s` : `${Math.round(number * 100) / 100} ms`;
  if (what.endsWith('_bytes')) return number >= 1 << 20 ? `${(number / (1 << 20)).toFixed(1)} MiB` : `${Math.round(number / 1024)} KiB`;
  return String(Math.round(number));
}

/** From when on, and for how long a point stands, as the analytics of a plugin are asked for. */
export function query(span, now) {
  const [back, step] = SPANS[span] ?? SPANS.hour;
  return new URLSearchParams({ from: new Date(now - back * 1000).toISOString().replace(/\.\d+Z$/, 'Z'), step }).toString();
}

/** A line through the numbers in a field of that size; where there is none it breaks off, and one alone is a dot. */
export function line(numbers, most, width, height) {
  const step = numbers.length > 1 ? width / (numbers.length - 1) : 0;
  return numbers.map((number, index) => {
    if (number === null || number === undefined) return '';
    const begins = index === 0 || (numbers[index - 1] ?? null) === null;
    const dot = begins && (numbers[index + 1] ?? null) === null ? 'h0.1' : '';
    return `${begins ? 'M' : 'L'}${(index * step).toFixed(1)} ${(height - (number / most) * height).toFixed(1)}${dot}`;
  }).join('');
}
