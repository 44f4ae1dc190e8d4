// The pages that a plugin brings.
import { extensions, part } from '../extensions.js';
import { t } from '../messages.js';
import { quiet } from '../parts.js';

let here = new Map();

export function enter() {
  here = new Map();
}

export function view({ name }, signal) {
  const known = extensions();
  for (const page of known?.get(name)?.pages ?? []) here.set(page.id, page);
  return here.size ? [...here.values()].map((page) => part(name, 'pages', page, signal)) : quiet(known ? t('ext.none') : t('loading'));
}

/** Whether the plugin brings any. */
export const brings = (plugin) => (extensions()?.get(plugin)?.pages.length ?? 0) > 0;
