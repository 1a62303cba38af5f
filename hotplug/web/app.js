// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
import {patch} from './dom.js';
import {Screens} from './screens.js';
import {is_token, Refused, Service} from './service.js';
import {initial_state, name_of, reduce, target_in} from './state.js';
import {page} from './view.js';

const first_pause = 500, longest_pause = 5000; // between attempts to connect, in ms

const service = new Service();
const root = document.getElementById('app');
const announcement = document.getElementById('announcement');
const screens = new Screens(take_picture, vm => state.vms.get(vm)?.monitorKept === true);
let state = initial_state;
let rendering = false;
let in_the_air = null; // the device that is dragged, as it was then

function dispatch(type, data) {
  const before = state;
  state = reduce(state, {type, data});
  free_pictures(before.screens);
  if (state === before || rendering) return;
  rendering = true;
  queueMicrotask(render); // once for all that happens at the same time
}

/// Gives back the memory of those that are not shown any more.
function free_pictures(before) {
  if (state.screens === before) return;
  for (const [vm, {url}] of before) if (url && state.screens.get(vm)?.url !== url) URL.revokeObjectURL(url);
}

function render() {
  rendering = false;
  const focused = document.activeElement?.id;
  patch(root, page(state, act).filter(part => part));
  if (announcement.textContent !== state.announcement) announcement.textContent = state.announcement;
  // A card that goes to another column is another node.
  if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus();
}

// The service

/// Browsers have six connections to one service for all tabs together: those that nobody sees do without.
async function visible() {
  while (document.hidden) await new Promise(seen => document.addEventListener('visibilitychange', seen, {once: true}));
}

async function follow() {
  let refused = null; // what was said last, which need not be said again when it has been dismissed
  for (let pause = first_pause;;) {
    await visible();
    const hidden = new AbortController();
    const leave = () => document.hidden && hidden.abort();
    document.addEventListener('visibilitychange', leave);
    try {
      for await (const {type, data} of service.events(hidden.signal)) {
        const anew = type === 'reload' || (type === 'hello' && !data.resumed);
        // Events that come meanwhile wait, so that none is overwritten by what was there before it.
        if (anew) await load();
        dispatch(type === 'reload' ? 'hello' : type, data);
        if (type === 'vm' && data.monitorKept && data.monitor === 'connected') screens.refresh(data.name);
        pause = first_pause;
        refused = null;
      }
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return ask_for_token();
      dispatch('connection', hidden.signal.aborted ? 'connecting' : 'lost');
      if (error instanceof Refused && error.message !== refused) {
        refused = error.message;
        dispatch('error', refused);
      }
    } finally {
      document.removeEventListener('visibilitychange', leave);
    }
    if (hidden.signal.aborted) continue;
    await new Promise(resolve => setTimeout(resolve, pause));
    pause = Math.min(2 * pause, longest_pause);
  }
}

async function load() {
  const [devices, vms, permissions] = await Promise.all([service.devices(), service.vms(), service.permissions()]);
  dispatch('picture', {devices, vms, permissions});
}

function ask_for_token() {
  dispatch('connection', 'refused');
  const problem = service.has_token() ? 'The service does not know that token.' : null;
  dispatch('dialog', {kind: 'token', problem});
}

/// Does what a person has asked for, and says so until it is done.
async function carry_out(key, text, work) {
  if (state.busy.has(key)) return;
  dispatch('busy', {key, text});
  try {
    await work();
  } catch (error) {
    dispatch('error', `${text}: ${error.message}`);
  } finally {
    dispatch('done', {key});
  }
}

/// Whether it makes sense to try again.
async function take_picture(vm) {
  try {
    const url = URL.createObjectURL(await service.screenshot(vm));
    dispatch('screen', {vm, screen: {url}});
    if (state.screens.get(vm)?.url !== url) URL.revokeObjectURL(url); // it has ended meanwhile
    return true;
  } catch (error) {
    dispatch('screen', {vm, screen: {problem: `no picture: ${error.message}`}});
    return !(error instanceof Refused && [403, 409].includes(error.status));
  }
}

// What people do

function focus_menu_button(id) {
  document.getElementById(`menu-${id}`)?.focus();
}

/// Beside its button, where there is room; on small screens the style sheet has another place for it.
function place_menu(menu, button) {
  const at = button.getBoundingClientRect();
  const left = Math.min(at.right - menu.offsetWidth, window.innerWidth - menu.offsetWidth - 8);
  const below = at.bottom + menu.offsetHeight < window.innerHeight;
  menu.style.setProperty('--left', `${Math.max(8, left)}px`);
  menu.style.setProperty('--top', `${below ? at.bottom : Math.max(8, at.top - menu.offsetHeight)}px`);
}

const act = {
  filter: text => dispatch('filter', text),
  dismiss: () => dispatch('dismiss'),

  /// `device`: as the person has seen it.
  move(device, vm) {
    const now = state.devices.get(device.id);
    if (now === undefined || !target_in(now, vm).possible) return;
    const text = `${name_of(device)}: ${vm === null ? 'giving it to the host' : `putting it into VM ${vm}`}`;
    carry_out(device.id, text, () => service.move(device, vm));
  },

  control(vm, action, doing, body) {
    carry_out(`vm:${vm}`, `VM ${vm}: ${doing}`, () => service.act(vm, action, body));
  },

  ask_to_end: (vm, action) => dispatch('dialog', {kind: action, vm}),
  end(vm, action) {
    act.close_dialog();
    if (action === 'stop') act.control(vm, 'stop', 'stopping', {timeout: 0});
    else act.control(vm, 'reset', 'resetting');
  },

  explain(id) {
    const device = state.devices.get(id);
    carry_out(id, `${name_of(device)}: asking why`, async () => {
      const text = await service.explanation(id);
      dispatch('dialog', {kind: 'explanation', name: name_of(device), text});
    });
  },

  // The menu of a device

  open_menu: id => dispatch('menu', id),
  show_menu(menu) {
    const button = document.getElementById(`menu-${state.menu}`);
    menu.showPopover();
    place_menu(menu, button);
    menu.querySelector('[role=menuitem]').focus({preventScroll: true});
  },
  menu_key(event) {
    const items = [...event.currentTarget.querySelectorAll('[role=menuitem]')];
    const at = items.indexOf(document.activeElement);
    const next = {ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1}[event.key];
    if (next !== undefined) {
      event.preventDefault();
      items[next % items.length].focus();
    } else if (event.key === 'Tab' || event.key === 'Escape') {
      event.preventDefault();
      act.choose(() => {});
    }
  },
  choose(use) {
    const id = state.menu;
    focus_menu_button(id);
    dispatch('menu', null);
    use();
  },

  // Dragging

  drag(id, event) {
    event.dataTransfer.setData('text/plain', id);
    event.dataTransfer.effectAllowed = 'move';
    in_the_air = state.devices.get(id);
    setTimeout(() => dispatch('drag', id)); // a card that changes at once is not dragged
  },
  drag_over(vm, event) {
    const device = state.devices.get(state.dragged);
    if (device === undefined) return;
    const {possible} = target_in(device, vm);
    event.dataTransfer.dropEffect = possible ? 'move' : 'none';
    if (possible) event.preventDefault();
    dispatch('over', vm ?? '');
  },
  drag_leave(vm, event) {
    if (!event.currentTarget.contains(event.relatedTarget) && state.over === (vm ?? '')) dispatch('over', null);
  },
  drop(vm, event) {
    event.preventDefault();
    const dropped = state.dragged !== null;
    dispatch('drag', null);
    if (dropped) act.move(in_the_air, vm);
  },
  drop_nowhere: () => dispatch('drag', null),

  // Pictures of screens

  show_screen: (vm, node) => screens.watch(vm, node),
  look_again: vm => screens.refresh(vm),

  // Dialogs

  enter_token: () => ask_for_token(),
  close_dialog: () => document.getElementById('dialog').close(), // and so the focus goes back
  dialog_closed: () => dispatch('dialog', null),
  use_token(event) {
    event.preventDefault();
    const token = event.target.elements.token.value.trim();
    if (!is_token(token)) {
      dispatch('dialog', {kind: 'token', problem: 'A token has letters, digits and signs, and neither blanks nor accents.'});
      return;
    }
    service.remember_token(token);
    act.close_dialog();
    dispatch('connection', 'connecting');
    follow();
  },
};

// Whatever happens elsewhere closes a menu.
document.addEventListener('pointerdown', event => {
  if (state.menu !== null && !event.target.closest('.menu, .more')) dispatch('menu', null);
});
document.addEventListener('scroll', event => {
  if (state.menu !== null && !event.target.closest?.('.menu')) dispatch('menu', null);
}, {capture: true, passive: true});

render();
follow();
