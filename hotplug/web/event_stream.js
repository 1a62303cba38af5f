// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0

/// The server-sent events in what has been received: those that are complete, and the rest. Pure.
export function split_events(text) {
  const parts = text.replaceAll('\r\n', '\n').split('\n\n');
  const rest = parts.pop();
  return {events: parts.map(read_event).filter(event => event !== null), rest};
}

/// null: a comment.
function read_event(block) {
  const event = {type: 'message', id: null, data: ''};
  const data = [];
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') event.type = value;
    if (field === 'id') event.id = value;
    if (field === 'data') data.push(value);
  }
  if (data.length === 0) return null;
  event.data = data.join('\n');
  return event;
}
