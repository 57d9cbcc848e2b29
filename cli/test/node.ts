/**
 * The command, as a person or a script runs it: each test starts the real process
 */
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
