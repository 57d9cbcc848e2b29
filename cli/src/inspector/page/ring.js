import { html } from './html.js'
import { Peer, Table } from './tables.js'

/** @import { Arc } from '../core/ring.ts' */
/** @import { View } from '../core/view.ts' */

const SIZE = 320
const MIDDLE = SIZE / 2
const BAND_WIDTH = 14
const BAND_RADIUS = MIDDLE - BAND_WIDTH / 2 - 2
/** Where tracks may be, and how wide one is at most */
const OUTER = BAND_RADIUS - BAND_WIDTH / 2 - 6
const INNER = 62
const TRACK_WIDTH = 16

/**
 * A piece of a circle, from the top on and as a clock goes. An arc cannot end where it begins, so it is drawn as two
 *
 * @param {object} props
 * @param {Arc} props.arc
 * @param {number} props.radius
 * @param {number} props.width
 * @param {string} props.kind
 */
function Piece ({ arc: { from, to }, radius, width, kind }) {
  const at = (/** @type {number} */ part) => {
    const angle = 2 * Math.PI * part
    return `${(MIDDLE + radius * Math.sin(angle)).toFixed(2)} ${(MIDDLE - radius * Math.cos(angle)).toFixed(2)}`
  }
  const way = `A ${radius} ${radius} 0 0 1`
  const half = (from + to) / 2
  return html`<path
    class=${kind} fill="none" stroke-width=${width} d=${`M ${at(from)} ${way} ${at(half)} ${way} ${at(to)}`} />`
}

/**
 * @param {number} copies
 * @param {number} wanted
 */
function kindOf (copies, wanted) {
  if (copies >= wanted) {
    return 'enough'
  }
  return copies === 0 ? 'none' : 'thin'
}

/**
 * The outer band says how many copies there are of what lies where, and each track what one replicator keeps
 *
 * @param {{ ring: View['ring'] }} props
 */
export function Ring ({ ring: { tracks, bands, copies, wanted, words } }) {
  const step = Math.min(TRACK_WIDTH + 4, (OUTER - INNER) / Math.max(1, tracks.length))
  const width = Math.max(3, step - 4)

  return html`
    <svg class="ring" viewBox=${`0 0 ${SIZE} ${SIZE}`} role="img" aria-label=${`The ring of the log. ${words}`}>
      ${bands.map(band => {
        const kind = kindOf(band.copies, wanted)
        return html`
          <${Piece} arc=${band} radius=${BAND_RADIUS} width=${BAND_WIDTH} kind=${`band ${kind}`} />
          ${kind === 'enough'
            ? null
            : html`<${Piece} arc=${band} radius=${BAND_RADIUS} width=${BAND_WIDTH} kind=${`stripes ${kind}`} />`}`
      })}
      ${tracks.map(({ announced, keeps, counts }, i) => {
        const radius = OUTER - step * i - width / 2
        return html`
          <g class=${`track c${i} ${counts ? '' : 'lost'}`}>
            <circle class="groove" cx=${MIDDLE} cy=${MIDDLE} r=${radius} fill="none" stroke-width=${width} />
            ${keeps.map(arc => html`<${Piece} arc=${arc} radius=${radius} width=${width} kind="keeps" />`)}
            ${announced.map(arc => html`<${Piece} arc=${arc} radius=${radius} width=${width} kind="announced" />`)}
          </g>`
      })}
      <text class="copies" x=${MIDDLE} y=${MIDDLE + 6}>${copies}</text>
      <text class="unit" x=${MIDDLE} y=${MIDDLE + 28}>${copies === 1 ? 'copy' : 'copies'} at least</text>
    </svg>`
}

/**
 * What the ring shows, as a table and in words
 *
 * @param {{ ring: View['ring'], self: string }} props
 */
export function Legend ({ ring: { tracks, shares, hidden, wanted, words }, self }) {
  return html`
    <div class="legend">
      <p>${words}</p>
      <ul class="shares">
        ${shares.map(({ copies, share }) => html`
          <li key=${copies}>
            <span class=${`swatch ${kindOf(copies, wanted)}`} aria-hidden="true"></span>
            <span>${copies} ${copies === 1 ? 'copy' : 'copies'} of ${percent(share)} of the entries</span>
          </li>`)}
      </ul>
      <${Table}
        label="Replicators, from the outermost track of the ring to the innermost"
        columns=${[{ name: 'From outside in' }, { name: 'Keeps', isNumber: true }]}
        rows=${tracks.map(({ peer, name, share }, i) => ({
          key: peer,
          cells: [
            html`<span class=${`swatch c${i}`} aria-hidden="true"></span><${Peer} name=${name} peer=${peer} />${
              peer === self ? html` <span class="muted">this node</span>` : null}`,
            share === 1 ? 'all' : percent(share)
          ]
        }))}
      />
      ${hidden === 0 ? null : html`<p class="muted">and ${hidden} more, which the outer band counts</p>`}
    </div>`
}

/**
 * @param {number} share
 */
function percent (share) {
  const rounded = Math.round(1_000 * share) / 10
  return `${rounded === 0 ? 'less than 0.1' : rounded} %`
}
