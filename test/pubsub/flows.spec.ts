import { expect } from 'aegir/chai'
import { Flows } from '../../src/pubsub/core/flows.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import type { Flow } from '../../src/pubsub/core/flows.ts'

const WINDOW = 100
const far = (bytes: number, to = 'far', lane = 0): Flow => ({ to, lane, bytes })

function newFlows (budget = { max: 1000, held: 0 }): Flows {
  return new Flows({ window: WINDOW, maxRows: 8, budget })
}

describe('what is on its way to destinations behind a neighbour', () => {
  it('is brought up to a window for each destination in each lane', () => {
    const flows = newFlows()
    expect(flows.bring(far(60))).to.equal(true)
    expect(flows.bring(far(41))).to.equal(false)
    expect(flows.bring(far(40))).to.equal(true)
    expect(flows.bring(far(100, 'other'))).to.equal(true)
    expect(flows.bring(far(100, 'far', 1))).to.equal(true)
    flows.told(far(1))
    expect([flows.bring(far(2)), flows.bring(far(1))]).to.deep.equal([false, true])
  })

  it('goes alone where it is larger than a window', () => {
    const flows = newFlows()
    expect([flows.bring(far(500)), flows.bring(far(1))]).to.deep.equal([true, false])
    flows.told(far(500))
    expect([flows.bring(far(1)), flows.bring(far(500))]).to.deep.equal([true, false])
  })

  it('leaves no row when all of it has left, whatever a neighbour says', () => {
    const flows = newFlows()
    flows.bring(far(10))
    flows.told(far(1_000_000))
    flows.told(far(10, 'nobody', 2))
    expect(flows.size).to.equal(0)
    expect(flows.bring(far(100))).to.equal(true)
    expect(flows.bring(far(1))).to.equal(false)
  })

  it('is refused past the window, and told like all else', () => {
    const flows = newFlows()
    expect([flows.hold(far(100)), flows.hold(far(1)), flows.hold(far(1, 'other'))]).to.deep.equal([true, false, true])
    flows.letGo(far(1))
    expect(flows.tell()).to.deep.equal([far(1)])
  })

  it('is told when a quarter of a window has left, or all at some time', () => {
    const flows = newFlows()
    flows.hold(far(50))
    flows.hold(far(10, 'other', 2))
    expect([flows.letGo(far(24)), flows.letGo(far(10, 'other', 2))]).to.deep.equal([false, false])
    expect(flows.letGo(far(1))).to.equal(true)
    expect(flows.tell()).to.deep.equal([far(25), far(10, 'other', 2)])
    expect([flows.hasUntold, flows.size]).to.deep.equal([false, 1])
  })

  it('is told in time where there are many destinations, in tellings of a bounded length', () => {
    const flows = newFlows()
    const dues = Array.from({ length: 20 }, (_, i) => {
      flows.hold(far(1, `destination ${i}`))
      return flows.letGo(far(1, `destination ${i}`))
    })
    expect(dues.indexOf(true)).to.equal(7)
    const told = []
    for (let some = flows.tell(); some.length > 0; some = flows.tell()) {
      expect(some.length).to.be.at.most(8)
      told.push(...some)
    }
    expect([told.length, flows.size]).to.deep.equal([20, 0])
  })

  it('takes no more of the budget than it leaves for others', () => {
    const budget = { max: 1000, held: 0 }
    const [greedy, other, third] = [newFlows(budget), newFlows(budget), newFlows(budget)]
    const fill = (flows: Flows, name: string): number => {
      let held = 0
      while (flows.hold(far(50, `${name} ${held}`))) {
        held += 50
      }
      flows.letGo(far(50, `${name} ${held}`))
      return held
    }
    expect([fill(greedy, 'a'), fill(other, 'b'), fill(third, 'c')]).to.deep.equal([500, 250, 150])
  })

  it('never counts less where it is brought from than where it is brought to, and comes to nothing', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed)
      const budget = { max: 1e9, held: 0 }
      const [bringer, relay] = [newFlows(), newFlows(budget)]
      const [onWay, held, told]: Flow[][] = [[], [], []]
      const steps: Array<() => void> = [
        () => {
          const flow = far(1 + randomInt(random, 60), `destination ${randomInt(random, 3)}`, randomInt(random, 2))
          bringer.bring(flow) && onWay.push(flow)
        },
        () => { onWay.splice(0, 1).forEach(flow => { expect(relay.hold(flow), `seed ${seed}`).to.equal(true); held.push(flow) }) },
        () => { held.splice(randomInt(random, held.length), 1).forEach(flow => { relay.letGo(flow) && told.push(...relay.tell()) }) },
        () => { told.splice(0, 1).forEach(flow => { bringer.told(flow) }) }
      ]
      for (let i = 0; i < 300; i++) {
        steps[randomInt(random, steps.length)]()
      }
      onWay.forEach(flow => { relay.hold(flow) });
      [...onWay, ...held].forEach(flow => { relay.letGo(flow) });
      [...told, ...relay.tell()].forEach(flow => { bringer.told(flow) })
      expect([bringer.size, relay.size, budget.held]).to.deep.equal([0, 0, 0])
    }
  })
})
