import { expect } from 'aegir/chai'
import { stopNodes } from '../fixtures/nodes.ts'
import { delivery } from './delivery.ts'
import { membership } from './membership.ts'
import { Setting } from './setting.ts'
import type { PubSubFactory, Row } from './setting.ts'

export interface ContractOptions {
  /**
   * Titles of the rows that this service is known to fail, each with the reason. Such a
   * row is run like any other and has to fail: when it passes, the entry has to go.
   */
  knownFailures?: Record<string, string>
}

/** Milliseconds that a row waits for any one thing */
const PATIENCE = 20_000

/** Milliseconds that a row which is going to fail waits for any one thing: what loopback does takes a few */
const PATIENCE_FOR_A_FAILURE = 1_000

/**
 * What a user of GossipSub may expect of a service that takes its place
 *
 * @example
 *
 * ```TypeScript
 * pubsubContract('directSub', () => directSub())
 * ```
 */
export function pubsubContract (name: string, factory: () => PubSubFactory, options: ContractOptions = {}): void {
  const knownFailures = new Map(Object.entries(options.knownFailures ?? {}))
  const rows = Object.entries({ ...membership, ...delivery })

  for (const title of knownFailures.keys()) {
    if (!rows.some(([row]) => row === title)) {
      throw new Error(`'${title}' is no row of the contract, so ${name} cannot fail it`)
    }
  }

  describe(`${name} is a pubsub that`, function () {
    this.timeout(120_000)
    afterEach(stopNodes)

    for (const [title, row] of rows) {
      const reason = knownFailures.get(title)

      if (reason == null) {
        it(title, async () => row(new Setting(factory, PATIENCE)))
      } else {
        it(`does NOT pass '${title}': ${reason}`, async () => expectFailure(row, factory))
      }
    }
  })
}

/**
 * The row has to fail for what it is about: an expectation that is not met or something that
 * does not come. Anything else, like a method that is not there, is an error of ours.
 */
async function expectFailure (row: Row, factory: () => PubSubFactory): Promise<void> {
  const error = await row(new Setting(factory, PATIENCE_FOR_A_FAILURE)).then(() => undefined, error => error)

  expect(error, 'it passes by now: take it off the list of known failures').to.be.an('error')
  expect(error.name, error.stack).to.be.oneOf(['AssertionError', 'NotInTimeError'])
}
