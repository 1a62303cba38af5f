// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0

const interval = 5000;

/// Pictures of the screens of VMs, taken only of those that somebody can see just now.
///
/// `look(vm)` takes one, does not fail, and reports whether it makes sense to try again; `is_held(vm)` says whether the
/// service keeps the monitor of that VM: only then it is asked again and again, otherwise each picture would take the
/// monitor away from others.
export class Screens {
  #look;
  #is_held;
  #visible = new Map(); // by the name of the VM: the timer, or null
  #names = new WeakMap();
  #observer;
  #turn = Promise.resolve(); // one picture after the other: browsers have few connections to one service

  constructor(look, is_held) {
    this.#look = look;
    this.#is_held = is_held;
    this.#observer = new IntersectionObserver(entries => entries.forEach(entry => this.#on_seen(entry)));
    document.addEventListener('visibilitychange', () => {
      for (const vm of this.#visible.keys()) this.refresh(vm);
    });
  }

  /// Takes pictures of that VM whenever `node` can be seen, until it is removed.
  watch(vm, node) {
    this.#names.set(node, vm);
    this.#observer.observe(node);
  }

  /// Takes one now, when it can be seen.
  async refresh(vm) {
    if (!this.#visible.has(vm)) return;
    clearTimeout(this.#visible.get(vm));
    this.#visible.set(vm, null);
    if (document.hidden) return;
    this.#turn = this.#turn.then(() => this.#visible.has(vm) && this.#look(vm));
    const again = await this.#turn;
    if (!again || !this.#visible.has(vm) || this.#visible.get(vm) !== null || !this.#is_held(vm)) return;
    this.#visible.set(vm, setTimeout(() => this.refresh(vm), interval));
  }

  #on_seen({isIntersecting, target}) {
    const vm = this.#names.get(target);
    if (isIntersecting) {
      if (this.#visible.has(vm)) return;
      this.#visible.set(vm, null);
      this.refresh(vm);
    } else {
      clearTimeout(this.#visible.get(vm));
      this.#visible.delete(vm);
      if (!target.isConnected) this.#observer.unobserve(target);
    }
  }
}
