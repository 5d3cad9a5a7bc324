"""Stage 10: values rendered. Terminal text, JSON twins, SARIF, JUnit, GitLab, Markdown, workflow annotations.

Comes in: values of the earlier stages. Goes out: text. Nothing here reads a file or a clock; every word that a
document's author could have chosen is escaped for the output it lands in (`escape`).
"""
