import { html } from './html.js'

const WIDTH = 240
const HEIGHT = 60

/** Milliseconds that the chart shows at least: what is below half of that nobody feels */
const LEAST = 50

/**
 * How late timers were, reading after reading: a bar for the longest, a line for the median
 *
 * @param {{ lags: Array<{ median: number, longest: number }> }} props
 */
export function LagChart ({ lags }) {
  const longest = Math.max(...lags.map(({ longest }) => longest))
  const top = Math.max(LEAST, 10 * Math.ceil(longest / 10))
  const at = (/** @type {number} */ ms) => HEIGHT - HEIGHT * ms / top
  const first = WIDTH - lags.length
  const line = lags.map(({ median }, i) => `${first + i + 0.5},${at(median).toFixed(2)}`).join(' ')

  return html`
    <figure class="chart">
      <span class="axis" aria-hidden="true">${top} ms</span>
      <svg
        viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img"
        aria-label=${`Lag of the event loop in the last two minutes: ${longest} ms at most`}
      >
        <line class="grid" x1="0" x2=${WIDTH} y1="0" y2="0" />
        <line class="grid" x1="0" x2=${WIDTH} y1=${HEIGHT / 2} y2=${HEIGHT / 2} />
        <line class="grid" x1="0" x2=${WIDTH} y1=${HEIGHT} y2=${HEIGHT} />
        ${lags.map(({ longest }, i) => html`
          <rect class="longest" x=${first + i} y=${at(longest)} width="1" height=${HEIGHT - at(longest)} />`)}
        <polyline class="median" points=${line} />
      </svg>
      <figcaption aria-hidden="true"><span>2 min ago</span><span>now</span></figcaption>
    </figure>`
}
