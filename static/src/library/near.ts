/**
 * Which things are near what is seen. A long list has all of its items, so that everything can be
 * found, but only those near have their pictures and buttons.
 */

/** Screens above and below that count as near. */
const MARGIN = "150%";

export interface Watched {
  readonly element: HTMLElement;
  /** It comes near, or goes away again; so high it is, which isn't to be asked of the page. */
  near(isNear: boolean, height: number): void;
}

export class Near {
  readonly #watched = new Map<Element, Watched>();
  readonly #observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting, boundingClientRect } of entries) {
        this.#watched.get(target)?.near(isIntersecting, boundingClientRect.height);
      }
    },
    { rootMargin: MARGIN },
  );

  add(item: Watched): void {
    this.#watched.set(item.element, item);
    this.#observer.observe(item.element);
  }

  remove(item: Watched): void {
    this.#watched.delete(item.element);
    this.#observer.unobserve(item.element);
  }
}
