"""Runs one uploaded engine or model and answers JSON lines.

Requests come on stdin, answers go to descriptor 3; what the uploaded code prints
goes to stderr and is nobody's answer. The first request carries the file. The
limits are set before any of it runs, and a hard limit cannot be raised again.
"""
import base64
import io
import json
import os
import resource
import sys


def limit(memory, cpu):
    for what, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (value, value))


class Subject:
    """What was uploaded: something that decides, or something that predicts."""

    def __init__(self, name, data):
        if name.lower().endswith(".py"):
            self.target = self.from_source(name, data)
        elif name.lower().endswith(".joblib"):
            import joblib
            self.target = joblib.load(io.BytesIO(data))
        else:
            import pickle
            self.target = pickle.loads(data)
        self.decides = callable(getattr(self.target, "make_decision", None))
        if not self.decides and not callable(getattr(self.target, "predict", None)):
            raise TypeError("it has neither make_decision(agent_data, pricing_data, market_data) nor predict(rows)")

    @staticmethod
    def from_source(name, data):
        import types
        module = types.ModuleType("uploaded_engine")
        sys.modules["uploaded_engine"] = module
        exec(compile(data, name, "exec"), module.__dict__)
        if callable(getattr(module, "make_decision", None)):
            return module
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__ == "uploaded_engine" and hasattr(value, "make_decision"):
                try:
                    engine = value(model_dir=None, db_connection_func=None)
                except TypeError:
                    engine = value()
                if callable(getattr(engine, "load", None)):
                    engine.load()
                return engine
        raise TypeError("it defines neither make_decision(agent_data, pricing_data, market_data) nor a class with that method")

    def decide(self, request):
        return self.target.make_decision(request["agent_data"], request["pricing_data"], request["market_data"])

    def predict(self, request):
        rows = request["rows"]
        try:
            import numpy
            rows = numpy.asarray(rows, dtype="float32")
        except ImportError:
            pass
        if callable(getattr(self.target, "predict_proba", None)):
            return [float(row[-1]) for row in self.target.predict_proba(rows)]
        return [float(value) for value in self.target.predict(rows)]


def main():
    memory, cpu = int(sys.argv[1]), int(sys.argv[2])
    answers = os.fdopen(3, "w", encoding="utf-8", buffering=1)
    sys.stdout = sys.stderr
    limit(memory, cpu)
    subject = None
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"id": request["id"]}
        broken = False
        try:
            if "load" in request:
                subject = Subject(request["load"], base64.b64decode(request.pop("data")))
                answer["decides"] = subject.decides
            elif "rows" in request:
                answer["risks"] = subject.predict(request)
            else:
                answer["result"] = subject.decide(request)
            text = json.dumps(answer, allow_nan=False)
        except MemoryError:
            broken = True
            text = json.dumps({"id": request["id"], "error": "it used more memory than it may (MemoryError)"})
        except (Exception, SystemExit) as problem:
            text = json.dumps({"id": request["id"], "error": "%s: %s" % (type(problem).__name__, problem)})
        answers.write(text + "\n")
        if broken:
            os._exit(1)  # what it holds is not given back: begin again


main()
