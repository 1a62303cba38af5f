// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0

// Trees of what is to be shown, and the document made to be like them. Texts become text nodes and attributes, never
// HTML.

const drawing = 'http://www.w3.org/2000/svg';
const tags_of_drawings = new Set(['svg', 'use']);
const shown = new WeakMap(); // by node: what it was made of

/// An element. Attributes that begin with "on" are functions; `key` tells it from its siblings; `mounted` is called
/// with the node once it is in the document. Children that are null, undefined or false are left out.
export function h(tag, attributes = {}, ...children) {
  const is_there = child => child !== null && child !== undefined && child !== false;
  return {tag, attributes, children: children.flat(Infinity).filter(is_there)};
}

/// Makes the children of `parent` be like `children`. Nodes that are there already are kept, and so are the focus and
/// what a person has typed.
export function patch(parent, children) {
  const mounted = [];
  patch_children(parent, children, mounted);
  for (const [call, node] of mounted) call(node);
}

function key_of(node) {
  return shown.get(node)?.attributes.key;
}

function is_like(node, wanted) {
  if (typeof wanted !== 'object') return node.nodeType === Node.TEXT_NODE;
  const is = shown.get(node);
  return is !== undefined && is.tag === wanted.tag && is.attributes.key === wanted.attributes.key;
}

function create(wanted, mounted) {
  if (typeof wanted !== 'object') return document.createTextNode('');
  const {tag, attributes} = wanted;
  const node = tags_of_drawings.has(tag) ? document.createElementNS(drawing, tag) : document.createElement(tag);
  shown.set(node, {tag, attributes: {key: attributes.key}});
  if (attributes.mounted) mounted.push([attributes.mounted, node]);
  return node;
}

function patch_children(parent, children, mounted) {
  const keys = new Set(children.map(child => child.attributes?.key).filter(key => key !== undefined));
  const by_key = new Map();
  for (const node of [...parent.childNodes]) {
    const key = key_of(node);
    if (key === undefined) continue;
    if (keys.has(key)) by_key.set(key, node);
    else node.remove();
  }
  let next = parent.firstChild;
  for (const wanted of children) {
    const key = wanted.attributes?.key;
    let node = key === undefined ? next : by_key.get(key);
    if (!node || !is_like(node, wanted)) node = create(wanted, mounted);
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
    patch_node(node, wanted, mounted);
  }
  while (next) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}

function patch_node(node, wanted, mounted) {
  if (typeof wanted !== 'object') {
    if (node.data !== String(wanted)) node.data = wanted;
    return;
  }
  const before = shown.get(node).attributes;
  for (const name of new Set([...Object.keys(before), ...Object.keys(wanted.attributes)]))
    set_attribute(node, name, before[name], wanted.attributes[name]);
  shown.set(node, wanted);
  patch_children(node, wanted.children, mounted);
}

/// What is as it was is left alone: a person may have changed it, such as `open` of details.
function set_attribute(node, name, before, value) {
  if (name === 'key' || name === 'mounted' || before === value) return;
  if (name.startsWith('on')) {
    node[name] = value ?? null;
  } else if (value === undefined || value === null || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? '' : String(value));
  }
}
