"""Model versions, the gate, promotion, lineage, reports of a registration. MLflow by way of croquis.tracking."""
