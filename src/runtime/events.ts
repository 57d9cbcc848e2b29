import { TypedEventEmitter } from 'main-event'
import type { EventHandler } from 'main-event'

/**
 * An event target whose listeners cannot harm who dispatches: one that throws is reported to `onListenerError` instead
 * of ending the process, and the other listeners still run.
 */
export class SafeEventEmitter<Events extends { [K in keyof Events]: Event }> extends TypedEventEmitter<Events> {
  readonly #wrapped = new WeakMap<object, (evt: Event) => void>()
  readonly #onListenerError: (err: unknown) => void

  constructor (onListenerError: (err: unknown) => void) {
    super()
    this.#onListenerError = onListenerError
  }

  addEventListener<K extends keyof Events> (
    type: K, listener: EventHandler<Events[K]> | null, options?: boolean | AddEventListenerOptions
  ): void {
    super.addEventListener(type, this.#wrap(listener), options)
  }

  removeEventListener<K extends keyof Events> (
    type: K, listener?: EventHandler<Events[K]> | null, options?: boolean | EventListenerOptions
  ): void {
    super.removeEventListener(type, this.#wrap(listener), options)
  }

  /** An event that nobody hears is not made */
  safeDispatchEvent<Detail> (type: keyof Events, detail?: CustomEventInit<Detail>): boolean {
    return this.listenerCount(type as string) === 0 || super.safeDispatchEvent(type, detail)
  }

  #wrap (listener?: any): any {
    if (listener == null) {
      return listener
    }

    const wrapped = this.#wrapped.get(listener) ?? ((evt: Event): void => {
      try {
        const result = typeof listener === 'function' ? listener.call(this, evt) : listener.handleEvent(evt)
        result?.catch?.(this.#onListenerError)
      } catch (err) {
        this.#onListenerError(err)
      }
    })
    this.#wrapped.set(listener, wrapped)
    return wrapped
  }
}
