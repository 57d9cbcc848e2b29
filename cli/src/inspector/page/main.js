import { App } from './app.js'
import { html } from './html.js'
import { render } from './vendor/preact.js'

/** @import { View } from '../core/view.ts' */

/**
 * @typedef {object} State
 * @property {View} [view] - what came last
 * @property {boolean} isLive - the node says what happens now
 * @property {number} seenAt - when that came, in milliseconds since 1970
 * @property {Array<{ median: number, longest: number }>} lags - of the event loop, the latest last
 */

/** Readings of the lag that are drawn: two minutes of them */
const LAGS = 240

/** Milliseconds after which a page asks again that was told to go away */
const RETRY = 5_000

/** @type {State} */
const state = { isLive: false, seenAt: 0, lags: [] }

/** @type {EventSource | undefined} */
let events

/** @type {ReturnType<typeof setTimeout> | undefined} */
let retry

function show () {
  render(html`<${App} ...${state} />`, /** @type {HTMLElement} */ (document.getElementById('page')))
}

/**
 * @param {View} view
 */
function take (view) {
  state.view = view
  state.isLive = true
  state.seenAt = Date.now()

  if (view.lag != null) {
    state.lags = [...state.lags, view.lag].slice(-LAGS)
  }

  document.title = `${view.safety.level === 'good' ? '' : '! '}${view.log} · sheaf inspector`
  show()
}

function open () {
  close()
  events = new EventSource('events')
  events.addEventListener('message', ({ data }) => { take(JSON.parse(data)) })
  events.addEventListener('error', () => {
    state.isLive = false
    show()

    // it connects again by itself after a connection was lost, and not after a refusal
    if (events?.readyState === EventSource.CLOSED) {
      retry = setTimeout(open, RETRY)
    }
  })
}

function close () {
  clearTimeout(retry)
  events?.close()
  events = undefined
}

// a node does nothing for pages that nobody sees
document.addEventListener('visibilitychange', () => {
  if (document.hidden) {
    close()
  } else {
    open()
  }
})

document.getElementById('page')?.replaceChildren()
show()
open()
