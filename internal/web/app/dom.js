// Elements are made here and nowhere else. Text goes in as text: nothing that a user, a file or an AI has said can become
// markup, and an address that could run something is left out.

/**
 * h('button', {class: 'button', onclick: save, disabled: busy, style: {'--part': 0.5}, data: {id}}, 'Save')
 * A function under on… listens; true and false set and remove an attribute; null and undefined leave it out.
 * Children are nodes, texts, numbers, arrays of them; null, undefined and false are none.
 */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

const SVG = 'http://www.w3.org/2000/svg';

/** The same for SVG. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets one property as h does. */
export function set(element, name, value) {
  if (typeof value === 'function') {
    element.addEventListener(name.slice(2), value);
  } else if (name === 'style') {
    for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
  } else if (name === 'data') {
    Object.assign(element.dataset, value);
  } else if (value === null || value === undefined || value === false) {
    element.removeAttribute(name);
  } else if ((name === 'href' || name === 'src') && !harmless(value)) {
    element.removeAttribute(name);
  } else if (name === 'value') {
    element.value = value;
  } else {
    element.setAttribute(name, value === true ? '' : value);
  }
}

function harmless(address) {
  const url = URL.parse?.(address, document.baseURI) ?? tryURL(address);
  return url !== null && ['http:', 'https:', 'blob:'].includes(url.protocol);
}

function tryURL(address) {
  try {
    return new URL(address, document.baseURI);
  } catch {
    return null;
  }
}

/** Makes text the only content of an element, if it is not so yet: an unchanged live region stays silent. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes nodes the children of an element, in this order, and moves none that is in its place already: focus stays. */
export function arrange(parent, nodes) {
  let at = parent.firstChild;
  const wanted = new Set(nodes);
  for (const node of nodes) {
    while (at && at !== node && !wanted.has(at)) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
    if (at === node) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
