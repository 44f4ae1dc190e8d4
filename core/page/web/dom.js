// Views are trees of plain objects; `paint` makes a part of the document be like one, and touches what is different only, so that
// focus, selection and what somebody types stay. All text becomes text: there is no way from here to markup.
import { clean } from './clean.js';

// Plots are drawn with these.
const DRAWN = new Set(['svg', 'g', 'path', 'line', 'rect']);

export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, children: flat(children) };
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== true);
}

export function paint(parent, tree) {
  const wanted = flat([tree]);
  const keyed = new Map();
  for (const child of parent.childNodes) if (child.paintKey !== undefined) keyed.set(child.paintKey, child);
  // What goes goes first: then nothing that stays is moved because of it, which would begin frames anew.
  const staying = new Set(wanted.map((node) => node.props?.key));
  for (const [key, child] of keyed) if (!staying.has(key)) child.remove();
  let at = parent.firstChild;
  for (const node of wanted) {
    if (typeof node !== 'object') {
      const text = clean(node);
      if (at?.nodeType === Node.TEXT_NODE) {
        if (at.data !== text) at.data = text;
        at = at.nextSibling;
      } else parent.insertBefore(document.createTextNode(text), at);
      continue;
    }
    const { key } = node.props;
    let real = key === undefined ? (at?.nodeType === Node.ELEMENT_NODE && at.paintKey === undefined ? at : null) : keyed.get(key);
    if (real && real.localName !== node.tag) real = null;
    if (!real) {
      real = DRAWN.has(node.tag) ? document.createElementNS('http://www.w3.org/2000/svg', node.tag) : document.createElement(node.tag);
      real.paintKey = key;
      real.painted = {};
      real.handlers = {};
      parent.insertBefore(real, at);
      apply(real, node);
      node.props.born?.(real);
      continue;
    }
    if (real === at) at = at.nextSibling;
    else move(parent, real, at);
    apply(real, node);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** Where a browser can, what is moved stays as it is: frames would begin anew otherwise. */
function move(parent, real, at) {
  if (parent.moveBefore && real.isConnected && parent.isConnected) parent.moveBefore(real, at);
  else parent.insertBefore(real, at);
}

function apply(real, { props, children }) {
  for (const name of Object.keys(real.painted)) if (!(name in props)) set(real, name, undefined);
  for (const [name, value] of Object.entries(props)) if (real.painted[name] !== value) set(real, name, value);
  real.painted = props;
  // What a part keeps by itself (`own`) is its own affair.
  if (!props.own) paint(real, children);
  // A choice is only there once its options are.
  if (real.localName === 'select' && 'value' in props && props.value !== real.chosen) real.value = real.chosen = props.value;
}

function set(real, name, value) {
  if (name === 'key' || name === 'own' || name === 'born') return;
  if (name.startsWith('on')) {
    const event = name.slice(2);
    if (!(event in real.handlers)) real.addEventListener(event, (happened) => real.handlers[event]?.(happened));
    real.handlers[event] = value;
  } else if (name === 'value' || name === 'checked' || name === 'indeterminate') {
    if (real.localName !== 'select') real[name] = value ?? '';
  } else if (value === undefined || value === null || value === false) real.removeAttribute(name);
  else real.setAttribute(name, value === true ? '' : name === 'href' ? href(value) : clean(value));
}

/** A link leads to a place of this page or of this server: whatever else it says leads nowhere. */
export function href(text) {
  return /^(#|\/(?!\/))/.test(text) ? text : '#/';
}
