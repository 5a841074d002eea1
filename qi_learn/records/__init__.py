from qi_learn.records.evidence import *
