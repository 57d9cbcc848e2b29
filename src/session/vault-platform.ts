/** Where this platform keeps keys: `imports` in package.json say which file that is */
export { openVault } from '#session-vault'
