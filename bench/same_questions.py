"""The same questions to DuckDB over the same hour rows, two threads, in process.

usage: same_questions.py FOLDER < questions.json
FOLDER has series.csv and rows.csv. Each question is asked of a database file of
DuckDB's own and of Parquet; prints seconds of each time and the sum of the last
column over all times. It serves nobody, checks no key and follows no changes.
"""
import json, sys, time
import duckdb

folder = sys.argv[1]
names = {"requests": ["api", "version", "endpoint", "method", "status", "region"],
         "mails": ["domain", "event", "direction", "transport", "severity", "reason"]}
families = {"requests": "request", "mails": "email"}
db = duckdb.connect(f"{folder}/duck.db")
db.execute("SET threads = 2")
db.execute(f"""CREATE TABLE series AS SELECT * FROM read_csv('{folder}/series.csv', header=false, quote='"', columns={{
  number: 'INTEGER', account: 'VARCHAR', family: 'VARCHAR', a: 'VARCHAR', b: 'VARCHAR', c: 'VARCHAR', d: 'VARCHAR', e: 'VARCHAR', f: 'VARCHAR'}})""")
db.execute(f"CREATE TABLE r AS SELECT * FROM read_csv('{folder}/rows.csv', header=false, columns={{hour: 'INTEGER', number: 'INTEGER', n: 'BIGINT'}})")
for table, dims in names.items():
    columns = ", ".join(f"coalesce({x}, '') AS {y}" for x, y in zip("abcdef", dims))
    db.execute(f"CREATE TABLE {table} AS SELECT hour, account, {columns}, n FROM r JOIN series USING (number) WHERE family = '{families[table]}' ORDER BY hour, account")
    db.execute(f"COPY {table} TO '{folder}/{table}.parquet' (FORMAT parquet, COMPRESSION zstd)")
db.execute("DROP TABLE r")
db.close()

def ask(db, questions):
    answers = []
    for q in questions:
        took, total = [], 0
        for n, account in enumerate(q["Accounts"]):
            began = time.perf_counter()
            rows = db.execute(q["SQL"], {"account": account} if account else None).fetchall()
            took.append(time.perf_counter() - began)
            total += sum(int(row[-1] or 0) for row in rows)
        answers.append({"Seconds": took, "Sum": total})
    return answers

questions = json.load(sys.stdin)
answers = {}
with duckdb.connect(f"{folder}/duck.db", read_only=True) as own:
    own.execute("SET threads = 2")
    answers["Own"] = ask(own, questions)
with duckdb.connect() as files:
    files.execute("SET threads = 2")
    for table in names:
        files.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{folder}/{table}.parquet')")
    answers["Parquet"] = ask(files, questions)
answers["Version"] = duckdb.__version__
print(json.dumps(answers))
