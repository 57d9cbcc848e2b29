/**
 * The command, as a person or a script runs it: each test starts the real process
 */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import './commands.node.ts'
import './disk.node.ts'
import './help.node.ts'
import './inspector-page.node.ts'
import './inspector-view.node.ts'
import './inspector.node.ts'
import './output.node.ts'
import './peer.node.ts'
import './refusals.node.ts'
import './send.node.ts'
import './service.node.ts'
import './stdin.node.ts'
import './three.node.ts'
import './typing.node.ts'

// processes that tests start keep what they compiled: each starts in half the time
process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'sheaf-tests')
