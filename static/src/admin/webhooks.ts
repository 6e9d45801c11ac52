/** Webhooks: how each fares, and what they were told. */

import { type Around, Section } from "../board/section";
import { buttons, cell, Moment, type Row, Table } from "../board/table";
import * as units from "../units";
import { h, say, show, text, watchPath } from "../view";
import { words } from "../words";
import * as api from "./api";

const w = words.admin.webhooks;

export class Webhooks extends Section {
  #state: api.DeliveryState = "pending";
  #urls = new Map<string, string>();
  readonly #more = h("div", { hidden: true });
  readonly #test = this.action("link", w.test, () => this.#sendTest(), {
    class: "button small",
    hidden: true,
  });
  readonly #targets = new Table<api.Webhook>(
    w.title,
    [w.address, w.state, w.waiting, w.success, w.failure],
    w.none,
    (target) => target.id,
    () => targetRow(),
  );
  readonly #deliveries = new Table<api.Delivery>(
    w.deliveries,
    [w.event, w.address, w.at, w.attempts, w.answer, words.admin.actions],
    w.noDeliveries,
    (delivery) => delivery.id,
    (delivery) => this.#row(delivery),
  );

  constructor(
    around: Around,
    private readonly learned: (targets: api.Webhook[]) => void,
  ) {
    super("webhooks", w.title, around, 20_000);
    this.tools.append(this.#test);
    const choice = h("div", { class: "segmented", role: "group", "aria-label": w.filter });
    for (const state of api.DELIVERY_STATES) {
      const one = h("button", { type: "button" }, w.states[state]);
      one.setAttribute("aria-pressed", String(state === this.#state));
      one.addEventListener("click", () => {
        this.#state = state;
        for (const other of choice.children) {
          other.setAttribute("aria-pressed", String(other === one));
        }
        this.lookNow();
      });
      choice.append(one);
    }
    const head = h("div", { class: "card-head" }, h("h3", {}, w.deliveries), choice);
    this.#more.append(head, this.#deliveries.element);
    this.element.append(this.#targets.element, this.#more);
  }

  protected async look(): Promise<void> {
    const { items } = await api.webhooks();
    this.#urls = new Map(items.map((target) => [target.id, target.url]));
    this.learned(items);
    this.#targets.draw(items);
    show(this.#test, items.length > 0);
    show(this.#more, items.length > 0);
    if (items.length === 0) return;
    const asked = this.#state;
    const page = await api.deliveries(asked);
    if (asked === this.#state) this.#deliveries.draw(page.items);
  }

  async #sendTest(): Promise<void> {
    const { webhooks } = await api.testWebhooks();
    say(w.tested(webhooks));
  }

  #row(first: api.Delivery): Row<api.Delivery> {
    const [event, link] = [h("span"), h("a", { class: "small" }, w.video)];
    const name = h("th", { scope: "row" }, event, " ", link);
    const [address, attempts, answer] = [cell(), cell(), h("td", { class: "reason" })];
    const at = new Moment();
    const again = this.action("retry", w.again, () => api.retryDelivery(first.id));
    const draw = (delivery: api.Delivery) => {
      text(event, delivery.type);
      show(link, delivery.videoId !== null);
      if (delivery.videoId) link.href = watchPath(delivery.videoId);
      text(address, this.#urls.get(delivery.webhookId) ?? w.formerly);
      at.draw(delivery.at);
      text(attempts, units.number(delivery.attempts, 0));
      const next = delivery.nextAt && w.next(units.ago(delivery.nextAt));
      text(answer, units.facts(delivery.status, delivery.error, next) || "–");
      show(again, delivery.state !== "pending");
      again.setAttribute("aria-label", words.labelled(w.again, delivery.type));
    };
    const acts = buttons(again);
    return { cells: [name, address, cell(at.element), attempts, answer, acts], draw };
  }
}

function targetRow(): Row<api.Webhook> {
  const [address, state, waiting] = [h("th", { scope: "row" }), cell(), cell()];
  const [success, failure] = [new Moment(), new Moment()];
  const why = h("span", { class: "small muted" });
  const draw = (target: api.Webhook) => {
    text(address, target.url);
    const isBad = target.disabled || target.failures > 0;
    state.classList.toggle("bad", isBad);
    const good = target.lastSuccessAt ? w.works : w.untried;
    text(state, target.disabled ? w.disabled : isBad ? w.fails(target.failures) : good);
    text(waiting, units.number(target.waiting, 0));
    success.draw(target.lastSuccessAt);
    failure.draw(target.lastFailureAt);
    text(why, target.lastError ?? "");
  };
  const failed = h("td", { class: "reason" }, failure.element, " ", why);
  return { cells: [address, state, waiting, cell(success.element), failed], draw };
}
